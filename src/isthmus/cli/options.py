"""The flags that every command shares, and how a failure is told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

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


def cluster_options(command: Command) -> Command:
    """Adds --kubeconfig, --context and --linkerd-namespace; the command receives `cluster: Cluster`."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        cluster = Cluster(
            kubeconfig=kwargs.pop("kubeconfig"),
            context=kwargs.pop("context"),
            linkerd_namespace=kwargs.pop("linkerd_namespace"),
        )
        return command(*args, cluster=cluster, **kwargs)

    wrapped.__name__ = command.__name__
    wrapped.__doc__ = command.__doc__
    wrapped.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(
        (
            click.option("--kubeconfig", metavar="FILE", help="Kubeconfig file [default: $KUBECONFIG, ~/.kube/config]"),
            click.option("--context", metavar="NAME", help="Context of the kubeconfig [default: the current one]"),
            click.option(
                "-L",
                "--linkerd-namespace",
                metavar="NS",
                default=names.CONTROL_PLANE_NAMESPACE,
                show_default=True,
                help="Namespace of the control plane",
            ),
        )
    ):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def fail(problem: str, hint: str = "") -> NoReturn:
    """Ends the command: what happened, then what to do next."""
    raise click.ClickException(f"{problem}\n{hint}" if hint else problem)
