"""The token in a kubeconfig: whose it is, how long it lives, and how another is asked for. Pure.

A bound token of a service account says all of it itself. Tokens that say nothing of the kind, or that do not expire,
are other people's business.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import yaml

from isthmus.kube.kinds import Object
from isthmus.kube.requests import Request

DEFAULT_LIFE: Final = 30 * 24 * 3600
"""Seconds for which new credentials are asked; the API server may give less."""
SHORTEST_LIFE: Final = 600
"""API servers refuse to make tokens for less."""
_SUBJECT: Final = re.compile(r"system:serviceaccount:([a-z0-9][-a-z0-9]*):([a-z0-9][-.a-z0-9]*)")


@dataclass(frozen=True, slots=True)
class Token:
    """A bound token of a service account; times are seconds since the epoch, by the clock of its API server."""

    namespace: str
    account: str
    issued: int
    expires: int

    @property
    def life(self) -> int:
        return self.expires - self.issued

    @property
    def due(self) -> float:
        """When to ask for the next: a third of the life is left to repair what stands in the way."""
        return self.issued + self.life * 2 / 3

    @property
    def expiry(self) -> str:
        """When it expires, as Kubernetes writes times."""
        return datetime.fromtimestamp(self.expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Claims(msgspec.Struct, frozen=True):
    iat: int
    exp: int
    sub: str


class _Named(msgspec.Struct, frozen=True):
    name: str = ""
    uid: str = ""


class _Bound(msgspec.Struct, frozen=True):
    namespace: str = ""
    serviceaccount: _Named | None = None


class _Account(msgspec.Struct, frozen=True):
    """Whose a token is: bound tokens say it in one claim, those from a Secret in three."""

    bound: _Bound | None = msgspec.field(name="kubernetes.io", default=None)
    namespace: str = msgspec.field(name="kubernetes.io/serviceaccount/namespace", default="")
    name: str = msgspec.field(name="kubernetes.io/serviceaccount/service-account.name", default="")
    uid: str = msgspec.field(name="kubernetes.io/serviceaccount/service-account.uid", default="")


def read(kubeconfig: bytes) -> Token | None:
    """The expiring token that a kubeconfig uses; None for every other way to log in."""
    user = _user(_parsed(kubeconfig))
    return parse(str(user.get("token") or "")) if user else None


def owner(kubeconfig: bytes, namespace: str) -> Object | None:
    """The service account whose token a kubeconfig uses, as the owner of objects in its namespace; None if unknown."""
    user = _user(_parsed(kubeconfig))
    try:
        claims = msgspec.json.decode(_payload(str((user or {}).get("token") or "")), type=_Account)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        return None
    bound, account = claims.bound, claims.bound.serviceaccount if claims.bound else None
    place, name, uid = (
        (bound.namespace, account.name, account.uid)
        if bound and account
        else (claims.namespace, claims.name, claims.uid)
    )
    if place != namespace or not name or not uid:
        return None
    return {"apiVersion": "v1", "kind": "ServiceAccount", "name": name, "uid": uid}


def _payload(token: str) -> bytes:
    _, payload, _ = token.split(".")
    return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))


def parse(text: str) -> Token | None:
    """What a token says of itself. Nobody is believed on the strength of this: the API server judges tokens."""
    try:
        claims = msgspec.json.decode(_payload(text), type=_Claims)
        subject = _SUBJECT.fullmatch(claims.sub)
        token = Token(subject[1], subject[2], claims.iat, claims.exp) if subject else None
        return token if token and token.life > 0 and token.expiry else None
    except (ValueError, binascii.Error, msgspec.DecodeError, OverflowError, OSError):
        return None


def with_token(kubeconfig: bytes, token: str) -> bytes:
    """The same kubeconfig, with another token for the user that it uses."""
    config = _parsed(kubeconfig)
    user = _user(config)
    if user is None:
        raise ValueError("the kubeconfig has no user")
    user["token"] = token
    return yaml.safe_dump(config, sort_keys=False).encode()


def _parsed(kubeconfig: bytes) -> Any:
    try:
        return yaml.safe_load(kubeconfig)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return None


def _user(config: Any) -> dict[str, Any] | None:
    """The user of the current context."""
    if not isinstance(config, dict):
        return None
    context = _named(config, "contexts", "context", config.get("current-context"))
    return _named(config, "users", "user", context.get("user")) if context else None


def _named(config: Mapping[str, Any], section: str, entry: str, name: Any) -> dict[str, Any] | None:
    items = config.get(section)
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and item.get("name") == name and isinstance(item.get(entry), dict):
            found: dict[str, Any] = item[entry]
            return found
    return None


class Status(msgspec.Struct, frozen=True):
    token: str

    def __repr__(self) -> str:
        return "Status(token=...)"


class Answer(msgspec.Struct, frozen=True):
    """A TokenRequest as it comes back."""

    status: Status


def request(namespace: str, account: str, seconds: int) -> Request[Answer]:
    """Asks for a token of an account; how long it really lives, the token says."""
    return Request(
        "POST",
        f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token",
        f"a token of ServiceAccount {namespace}/{account}",
        Answer,
        verb="create",
        body={
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": max(seconds, SHORTEST_LIFE)},
        },
    )
