"""Commands of `linkerd viz` that this mesh has nothing to tell for: each says why, and what to type instead."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

import click

from isthmus.cli.unserved import refusing

WHY: Final = {
    "routes": "ServiceProfiles are not served by this mesh, and an HTTPRoute is for all requests of a service",
    "authz": "there are no policies here, so nothing is counted by policy",
    "profile": "ServiceProfiles are not served by this mesh",
    "allow-scrapes": "there are no policies here that could forbid a scrape, so nothing needs to be allowed",
}
TO: Final = ("--to", "--to-namespace")
LEFT_OUT: Final = (*TO, "-l", "--selector")
"""Flags of `viz routes`, each with a value, that `stat-outbound` and `stat-inbound` do not take."""
OUTPUT: Final = ("-o", "--output")
SERVICES: Final = ("svc", "service", "services", "au", "authority", "authorities")


def commands() -> Iterator[click.Command]:
    for name, reason in WHY.items():
        yield refusing(f"viz {name}", reason, _here if name == "routes" else lambda _: "")


def _here(words: Sequence[str]) -> str:
    """`instead`, for the cluster that was asked."""
    outer = click.get_current_context().find_root().params
    where = [part for flag in ("kubeconfig", "context") if outer.get(flag) for part in (f"--{flag}", outer[flag])]
    return instead([*words, *where])


def instead(words: Sequence[str]) -> str:
    """What to type for `viz routes` with these arguments, and what it tells."""
    flags = list(_flags(words))
    to = next((value for name, value in flags if name == "--to"), "")
    asked = next((word for word, value in flags if value is None and not word.startswith("-")), "")
    if to:
        command, tells = "stat-outbound", f"It names the HTTPRoute and the backends of each service; look for {to}."
    elif asked.partition("/")[0].lower() in SERVICES:
        command, tells = "stat", "It tells the service's numbers; `stat-outbound` of a caller names its HTTPRoute."
    else:
        command, tells = "stat-inbound", "It tells port by port; `linkerd viz top` lists methods and paths."
    kept = [part for each in flags for part in _kept(*each, command=command)]
    return f"Type: linkerd viz {shlex.join([command, *kept])}\n{tells}"


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Flags with their values, and what is none, with None. Of the flags of `viz routes` only -A has no value."""
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if not word.startswith("-") or name in ("-A", "--all-namespaces"):
            yield word, None
        elif equals:
            yield name, value
        elif len(word) > 2 and not word.startswith("--"):
            yield word[:2], word[2:]
        else:
            yield name, next(rest, "")


def _kept(name: str, value: str | None, *, command: str) -> Sequence[str]:
    if value is None:
        return (name,)
    if name in TO or (command != "stat" and (name in LEFT_OUT or (name in OUTPUT and value == "wide"))):
        return ()
    return (name, value)
