"""Commands of Linkerd's that this mesh has not: each says why, and what to type instead."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from isthmus.cli.options import fail

UPGRADE: Final = "linkerd install | kubectl apply -f -"
LABEL: Final = "linkerd.io/inject"
WHY: Final = {
    "authz": ("there are no policies here, so nothing is authorized by policy", ""),
    "install-cni": ("there is no CNI plugin here; pods are redirected by their init container", ""),
    "jaeger": (
        "tracing needs no extension; proxies send spans to the collector that you name",
        "Type: linkerd install --set tracing.collector=HOST:PORT | kubectl apply -f -",
    ),
    "policy": ("there are no policies here", ""),
    "profile": ("ServiceProfiles are not served by this mesh", ""),
    "prune": (
        "versions of the control plane leave nothing over so far; of the viz extension `linkerd viz prune` prints it",
        "",
    ),
    "smi": ("TrafficSplits are served without an extension; `linkerd install` brings their definition", ""),
    "uninject": (
        f"the proxy comes by an annotation, {LABEL}",
        f"Take {LABEL} out of the pod template (or the namespace), or set it to disabled, and apply that.",
    ),
    "upgrade": (
        "`install` again is the upgrade: it keeps roots and issuer, but of values only those that are given again",
        f"Type: {UPGRADE}, with the flags and values that you installed with.",
    ),
}
"""Command -> why it is not there, and what to do."""


def refused(name: str) -> click.Command | None:
    """A command that says why it is not there; None where Linkerd has none of that name either."""
    if name not in WHY:
        return None
    reason, hint = WHY[name]
    return refusing(name, reason, lambda _: hint, help_more=hint)


def refusing(path: str, reason: str, instead: Callable[[Sequence[str]], str], *, help_more: str = "") -> click.Command:
    """The command that `path` ends with: it fails, and says why and, of the words that were given, what to type."""

    def refuse(words: Sequence[str]) -> None:
        fail(f"`{path}` is not there: {reason}.", instead(words))

    unread: list[click.Parameter] = [click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)]
    # With -h for help, click would find it in -nshop.
    settings: dict[str, Any] = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
    told = f"Not there: {reason}." + (f"\n\n{help_more}" if help_more else "")
    name = path.split()[-1]
    return click.Command(name, callback=refuse, params=unread, hidden=True, context_settings=settings, help=told)
