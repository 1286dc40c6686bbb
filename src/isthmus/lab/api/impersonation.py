"""Acting as somebody else: the `Impersonate-` headers that `kubectl --as` sends.

Whoever sends them needs the verb `impersonate` on the user (or service account), on each group, the uid, and each
value of each extra field that they ask for. The request then counts as that user's in every respect.
"""

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDictProxy

from isthmus.lab.api.authn import AUTHENTICATED
from isthmus.lab.api.authorization import authorize
from isthmus.lab.api.contracts import ANONYMOUS, Authorizer, User
from isthmus.lab.api.requests import Address
from isthmus.lab.api.status import bad_request

_USER: Final = "Impersonate-User"
_GROUP: Final = "Impersonate-Group"
_UID: Final = "Impersonate-Uid"
_EXTRA: Final = "impersonate-extra-"
_ACCOUNT: Final = "system:serviceaccount:"
_UNAUTHENTICATED: Final = "system:unauthenticated"


def acting(request: web.Request, user: User, authorizer: Authorizer) -> User:
    """Whom the request counts as: `user`, or whom they may and want to be. Raises `ApiError` 400 and 403."""
    headers = request.headers
    name = headers.get(_USER, "")
    groups = tuple(group for group in headers.getall(_GROUP, []) if group)
    uid = headers.get(_UID, "")
    extra = _extra(headers)
    if not name:
        if groups or uid or extra:
            raise bad_request(f"requested to impersonate groups, a uid or extra fields without {_USER}")
        return user
    for where in _wanted(name, groups, uid, extra):
        authorize(authorizer, user=user, verb="impersonate", where=where, path="")
    return User(name=name, uid=uid, groups=_completed(name, groups), extra=extra)


def _extra(headers: CIMultiDictProxy[str]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for header, value in headers.items():
        if header.lower().startswith(_EXTRA):
            key = unquote(header.lower().removeprefix(_EXTRA))
            found[key] = (*found.get(key, ()), value)
    return found


def _account(name: str) -> tuple[str, str] | None:
    """Namespace and name of the service account that a user name means."""
    namespace, colon, account = name.removeprefix(_ACCOUNT).partition(":")
    return (namespace, account) if name.startswith(_ACCOUNT) and colon and namespace and account else None


def _wanted(name: str, groups: tuple[str, ...], uid: str, extra: Mapping[str, tuple[str, ...]]) -> Iterator[Address]:
    account = _account(name)
    if account is not None:
        yield Address("", "v1", "serviceaccounts", *account)
    else:
        yield Address("", "v1", "users", name=name)
    for group in groups:
        yield Address("", "v1", "groups", name=group)
    if uid:
        yield Address("authentication.k8s.io", "v1", "uids", name=uid)
    for key, values in extra.items():
        for value in values:
            yield Address("authentication.k8s.io", "v1", "userextras", name=value, subresource=key)


def _completed(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """The groups that were asked for, or those a service account has, and whether the user is anybody."""
    account = _account(name)
    if account is not None and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    if AUTHENTICATED in groups or _UNAUTHENTICATED in groups:
        return groups
    return (*groups, _UNAUTHENTICATED if name == ANONYMOUS.name else AUTHENTICATED)
