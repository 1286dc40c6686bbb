"""Calls as values: what is sent and how the answer is read. Both clients share them; nothing here does I/O."""

import dataclasses
import logging
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from isthmus.kube import errors
from isthmus.kube.kinds import Kind, Object, plain
from isthmus.kube.meta import HasMeta, key_of

T = TypeVar("T")
A = TypeVar("A")

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
PAGE: Final = 500
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises over what another party sent: text that is no UTF-8 and deep nesting are no DecodeError."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request(Generic[A]):
    """One HTTP call; `answer` is the type of the reply's body, `about` the object in words for errors."""

    method: str
    path: str
    about: str
    answer: type[A]
    verb: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list."""

    items: list[T] | None = None
    metadata: ListMeta = ListMeta()


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    reason: str = ""


@cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast("type[Any]", kind))


def decoder(kind: type[A]) -> msgspec.json.Decoder[A]:
    """One decoder for each type, made once."""
    return _decoder(cast("Hashable", kind))


@cache
def page_of(kind: Kind[T]) -> type[Page[T]]:
    return Page[kind.decode_as]  # type: ignore[name-defined]


def decode_page(request: Request[Page[T]], kind: Kind[T], code: int, body: bytes, server: str) -> Page[T]:
    """A part of a list; an object that cannot be read is left out and told about, so that it hides no other."""
    try:
        return decode(request, code, body, server)
    except errors.ApiError:
        if code >= 400:
            raise
    raw = decode(_undecoded(request), code, body, server)
    return Page([item for item in (_item(kind, each) for each in raw.items or ()) if item is not None], raw.metadata)


def _item(kind: Kind[T], raw: msgspec.Raw) -> T | None:
    try:
        return decoder(kind.decode_as).decode(raw)
    except UNREADABLE as error:
        log.warning("skipped an object of %s that cannot be read: %s", kind.describe(), error)
        return None


def _undecoded(request: Request[Any]) -> Request[Page[msgspec.Raw]]:
    return dataclasses.replace(request, answer=Page[msgspec.Raw])


def get(kind: Kind[T], name: str, namespace: str | None, subresource: str | None = None) -> Request[T]:
    return Request(
        "GET", kind.path(namespace, name, subresource), kind.describe(namespace, name), kind.decode_as, verb="get"
    )


def list_page(
    kind: Kind[T], namespace: str | None, labels: str | None, fields: str | None, continue_: str
) -> Request[Page[T]]:
    params = selection(labels, fields) | {"limit": str(PAGE)}
    if continue_:
        params["continue"] = continue_
    return Request("GET", kind.path(namespace), kind.describe(namespace), page_of(kind), verb="list", params=params)


def selection(labels: str | None, fields: str | None) -> dict[str, str]:
    return {name: text for name, text in (("labelSelector", labels), ("fieldSelector", fields)) if text}


def create(kind: Kind[T], item: Any, namespace: str | None, manager: str) -> Request[T]:
    where, name = _place(item, namespace)
    return Request(
        "POST", kind.path(where), kind.describe(where, name), kind.decode_as, verb="create",
        params={"fieldManager": manager}, body=_typed(kind, item),
    )  # fmt: skip


def replace(kind: Kind[T], item: Any, namespace: str | None, manager: str, subresource: str | None) -> Request[T]:
    where, name = _place(item, namespace)
    return Request(
        "PUT", kind.path(where, name, subresource), kind.describe(where, name), kind.decode_as, verb="update",
        params={"fieldManager": manager}, body=_typed(kind, item),
    )  # fmt: skip


def apply(
    kind: Kind[T], item: Any, namespace: str | None, manager: str, *, force: bool, subresource: str | None
) -> Request[T]:
    where, name = _place(item, namespace)
    return Request(
        "PATCH", kind.path(where, name, subresource), kind.describe(where, name), kind.decode_as, verb="apply",
        params={"fieldManager": manager, "force": "true" if force else "false"},
        body=_typed(kind, item), content_type=APPLY_PATCH,
    )  # fmt: skip


def patch(
    kind: Kind[T], name: str, body: Any, namespace: str | None, manager: str, subresource: str | None
) -> Request[T]:
    """A dict is a merge patch, a list a JSON patch."""
    return Request(
        "PATCH", kind.path(namespace, name, subresource), kind.describe(namespace, name), kind.decode_as,
        verb="patch", params={"fieldManager": manager}, body=body,
        content_type=JSON_PATCH if isinstance(body, list) else MERGE_PATCH,
    )  # fmt: skip


def delete(kind: Kind[Any], name: str, namespace: str | None, propagation: str) -> Request[Any]:
    return Request(
        "DELETE", kind.path(namespace, name), kind.describe(namespace, name), dict, verb="delete",
        body={"propagationPolicy": propagation},
    )  # fmt: skip


def decode(request: Request[A], code: int, body: bytes, server: str) -> A:
    """The answer's value, or the error it stands for."""
    if code >= 400:
        raise failure(request, code, body, server)
    try:
        return decoder(request.answer).decode(body)
    except UNREADABLE as error:
        sentence = f"{server} sent an answer about {request.about} that cannot be read: {error}"
        raise errors.ApiError(sentence, code=code) from error


def failure(request: Request[Any], code: int, body: bytes, server: str) -> errors.ApiError:
    try:
        status: _Status = decoder(_Status).decode(body)
    except UNREADABLE:
        status = _Status(message=body[:200].decode(errors="replace"))
    return errors.api_error(
        code, reason=status.reason, message=status.message, server=server, about=request.about, verb=request.verb
    )


def _place(item: Any, namespace: str | None) -> tuple[str | None, str]:
    if isinstance(item, HasMeta):
        # Our views hold only what we read: sending one back would erase the rest.
        raise TypeError("write plain dicts, not typed views")
    own_namespace, name = key_of(item)
    return own_namespace or namespace, name or str((item.get("metadata") or {}).get("generateName", "")) + "*"


def _typed(kind: Kind[Any], item: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": kind.api_version, "kind": kind.kind} | item


class _ApiResource(msgspec.Struct, frozen=True):
    name: str
    kind: str
    namespaced: bool = True


class ResourceList(msgspec.Struct, frozen=True, rename="camel"):
    """Discovery of one group and version."""

    resources: list[_ApiResource] = []
    group_version: str = ""


def discovery(api_version: str) -> Request[ResourceList]:
    root = "/api" if "/" not in api_version else "/apis"
    return Request("GET", f"{root}/{api_version}", f"the kinds of {api_version}", ResourceList, verb="get")


def discovered(answer: ResourceList, kind: str, server: str) -> Kind[Object]:
    for resource in answer.resources:
        if resource.kind == kind and "/" not in resource.name:
            return plain(answer.group_version, kind, resource.name, namespaced=resource.namespaced)
    sentence = f"{server} does not know the kind {kind} of {answer.group_version}."
    raise errors.NotFound(sentence, code=404, reason="NotFound")
