"""The flags that every command shares, and how a failure is told."""

import functools
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click

from isthmus import names

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which cluster a command talks to: kubectl's own flags."""

    kubeconfig: str | None
    context: str | None
    linkerd_namespace: str

    @property
    def label(self) -> str:
        """How messages call the cluster."""
        return f'context "{self.context}"' if self.context else "the current context"


FLAGS: Final = (
    click.option("--kubeconfig", metavar="FILE", help="Kubeconfig file [default: $KUBECONFIG, ~/.kube/config]"),
    click.option("--context", metavar="NAME", help="Context of the kubeconfig [default: the current one]"),
    click.option(
        "-L",
        "--linkerd-namespace",
        metavar="NS",
        callback=lambda _context, _parameter, value: _the_only_namespace(value),
        help="Namespace of the control plane; it is always linkerd",
    ),
)


def _the_only_namespace(value: str | None) -> str | None:
    """Linkerd's flag, for habits and scripts; another namespace is refused rather than ignored."""
    if value not in (None, names.CONTROL_PLANE_NAMESPACE):
        raise click.BadParameter(f"the control plane is always in namespace {names.CONTROL_PLANE_NAMESPACE}")
    return value


def shared_flags(command: Command) -> Command:
    """Adds the shared flags to the root command, where Linkerd accepts them too."""
    for option in reversed(FLAGS):
        command = option(command)
    return command


def cluster_options(command: Command) -> Command:
    """Adds the shared flags; the command receives `cluster: Cluster`. A flag before the subcommand counts as well."""

    @shared_flags
    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        outer = click.get_current_context().find_root().params

        def flag(name: str) -> str | None:
            return kwargs.pop(name) or outer.get(name)

        cluster = Cluster(
            kubeconfig=flag("kubeconfig"),
            context=flag("context"),
            linkerd_namespace=flag("linkerd_namespace") or names.CONTROL_PLANE_NAMESPACE,
        )
        return command(*args, cluster=cluster, **kwargs)

    return wrapped  # type: ignore[return-value]


def program() -> str:
    """What to type in this directory to run this installation's `isthmus`."""
    installed = Path(sys.executable).parent / "isthmus"
    found = shutil.which("isthmus")
    if found and Path(found).resolve() == installed.resolve():
        return "isthmus"
    relative = os.path.relpath(installed)
    return str(installed) if relative.startswith(os.pardir) else relative


def fail(problem: str, hint: str = "") -> NoReturn:
    """Ends the command: what happened, then what to do next."""
    raise click.ClickException(f"{problem}\n{hint}" if hint else problem)
