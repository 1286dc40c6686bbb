"""The Secret that leads to a linked cluster."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import yaml

from isthmus import names
from isthmus.multicluster.links import Link
from isthmus.multicluster.status import Condition
from isthmus.multicluster.tokens import Token
from isthmus.resources.core import Secret

_OUTSIDE: Final = frozenset(
    {"exec", "auth-provider", "tokenFile", "client-certificate", "client-key", "certificate-authority"}
)


class Unusable(Exception):
    """The Secret cannot be used; `reason` is a reason of the condition `Reachable`, the text says what to do."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Used:
    """The credentials in use: their token if it expires, and why it was not renewed although it was due."""

    token: Token | None = None
    problem: str = ""

    @property
    def expiry(self) -> str:
        return self.token.expiry if self.token else ""


def relink(link: Link) -> str:
    """How to get fresh credentials, in words."""
    return (
        f"Run `linkerd multicluster link --cluster-name {link.target}` against {link.target} and apply what it prints."
    )


def judged(reachable: Condition, link: Link, used: Used, *, now: float) -> Condition:
    """The condition `Reachable`, with what is known of the credentials' life."""
    token = used.token
    if token is None:
        return reachable
    if reachable.reason == "CredentialsRejected" and token.expires > now:
        return replace(
            reachable,
            message=f"{link.target} does not accept the credentials, which would be valid until {token.expiry}. "
            f"ServiceAccount {token.namespace}/{token.account} was deleted there, or they are another cluster's. "
            f"{relink(link)}",
        )
    if reachable.reason == "CredentialsRejected":
        return Condition(
            "Reachable",
            "CredentialsExpired",
            f"The credentials for {link.target} expired at {token.expiry}, and nothing renewed them before. "
            f"{relink(link)}",
        )
    if reachable.reason != "Connected":
        return reachable
    if used.problem:
        return Condition(
            "Reachable",
            "CredentialsNotRenewed",
            f"The credentials for {link.target} expire at {token.expiry} and could not be renewed: "
            f"{used.problem.rstrip('.')}. Run `linkerd multicluster install` against {link.target} again, which renews "
            "the permissions, or link again.",
        )
    return replace(reachable, message=f"{reachable.message} The credentials expire at {token.expiry}.")


def kubeconfig(link: Link, secret: Secret | None) -> bytes:
    """The kubeconfig in a Link's Secret; raises `Unusable`."""
    where = f"Secret {link.namespace}/{link.credentials_secret}"
    if secret is None:
        raise Unusable("SecretMissing", f"{where} does not exist. {relink(link)}")
    try:
        content = secret.value(names.CREDENTIALS_KEY)
        parsed = yaml.safe_load(content) if content else None
    except (ValueError, yaml.YAMLError, RecursionError):
        content = parsed = None
    if not secret.data.get(names.CREDENTIALS_KEY):
        raise Unusable("SecretInvalid", f"{where} has no key {names.CREDENTIALS_KEY}. {relink(link)}")
    if content is None or not isinstance(parsed, dict):
        raise Unusable("SecretInvalid", f"{where} does not hold a kubeconfig. {relink(link)}")
    if found := sorted(_reaching_out(parsed)):
        raise Unusable(
            "SecretInvalid",
            f"The kubeconfig in {where} uses {', '.join(found)}; one in a Secret may hold data only. {relink(link)}",
        )
    return content


def _reaching_out(config: Mapping[str, Any]) -> Iterator[str]:
    """Fields that would run a program or read a file of this pod on behalf of whoever wrote the Secret."""
    for section, entry in (("users", "user"), ("clusters", "cluster")):
        items = config.get(section)
        for item in items if isinstance(items, list) else ():
            fields = item.get(entry) if isinstance(item, dict) else None
            yield from _OUTSIDE.intersection(fields if isinstance(fields, dict) else ())
