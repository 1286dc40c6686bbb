"""Bodies that are never stored (reviews, bindings, evictions, options of a deletion): are the fields right?

One loose shape for all reviews: what a field means, and whether it is missing, is for whoever answers to say.
"""

from typing import Annotated, Any

import msgspec

from isthmus.lab.api.contracts import Object
from isthmus.lab.api.status import bad_request

_Seconds = Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 40)]


class _Attributes(msgspec.Struct):
    namespace: str | None = None
    verb: str | None = None
    group: str | None = None
    version: str | None = None
    resource: str | None = None
    subresource: str | None = None
    name: str | None = None
    path: str | None = None


class _Reference(msgspec.Struct):
    kind: str | None = None
    apiVersion: str | None = None
    name: str | None = None
    uid: str | None = None


class _Question(msgspec.Struct):
    token: str | None = None
    audiences: list[str] | None = None
    user: str | None = None
    uid: str | None = None
    groups: list[str] | None = None
    extra: dict[str, list[str]] | None = None
    namespace: str | None = None
    expirationSeconds: _Seconds | None = None
    boundObjectRef: _Reference | None = None
    resourceAttributes: _Attributes | None = None
    nonResourceAttributes: _Attributes | None = None


class _Preconditions(msgspec.Struct):
    uid: str | None = None
    resourceVersion: str | None = None


class Options(msgspec.Struct):
    """DeleteOptions."""

    gracePeriodSeconds: _Seconds | None = None
    preconditions: _Preconditions | None = None
    orphanDependents: bool | None = None
    propagationPolicy: str | None = None
    dryRun: list[str] | None = None


class Review(msgspec.Struct):
    metadata: Object | None = None
    spec: _Question | None = None


class Binding(msgspec.Struct):
    metadata: Object | None = None
    target: _Reference | None = None


class Eviction(msgspec.Struct):
    metadata: Object | None = None
    deleteOptions: Options | None = None


def checked(kind: str, body: Any, shape: type) -> Object:
    """The body, which may be left out, as an object of this shape; raises `ApiError` 400 for anything else."""
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise bad_request("the body of the request is not an object")
    if body.get("kind", kind) != kind:
        raise bad_request(f"the object provided is a {body['kind']}, and this path takes a {kind}")
    try:
        msgspec.convert(body, shape)
    except msgspec.ValidationError as error:
        raise bad_request(f"the body of the request cannot be handled as a {kind}: {error}") from None
    return body
