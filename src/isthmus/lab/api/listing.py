"""Lists: selection, chunks, and the representation the client asked for."""

import base64
from collections.abc import Callable
from typing import Any

import msgspec

from isthmus.lab.api import tables
from isthmus.lab.api.contracts import Object, ResourceInfo
from isthmus.lab.api.requests import Wanted
from isthmus.lab.api.status import bad_request, expired
from isthmus.lab.api.store import key_of


def chunk(objects: list[Object], *, limit: int | None, token: str, revision: int) -> tuple[list[Object], Object]:
    """The next `limit` of the sorted objects, and the metadata of the list they make."""
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if token:
        last = _decode(token)
        objects = [obj for obj in objects if key_of(obj) > last]
    if limit and len(objects) > limit:
        left = len(objects) - limit
        objects = objects[:limit]
        metadata |= {"continue": _encode(key_of(objects[-1])), "remainingItemCount": left}
    return objects, metadata


def _encode(key: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode({"v": 1, "after": key})).decode()


def _decode(token: str) -> tuple[str, str]:
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(token))
        namespace, name = found["after"]
    except (ValueError, KeyError, TypeError, msgspec.DecodeError):
        raise bad_request(f'continue key is not valid: "{token}"') from None
    if found.get("v") != 1:
        raise expired("The provided continue parameter is too old to display a consistent list result.")
    return str(namespace), str(name)


def rendered(
    info: ResourceInfo,
    items: list[Object],
    metadata: Object,
    wanted: Wanted,
    columns: list[tables.Column],
    include: str,
) -> Object:
    """A list of objects as the client wants it."""
    if wanted.kind == "Table":
        return tables.table(columns, items, metadata=metadata, include=include)
    if wanted.kind == "PartialObjectMetadata":
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "items": [tables.partial(obj) for obj in items],
        }
    return {"kind": f"{info.kind}List", "apiVersion": info.api_version, "metadata": metadata, "items": items}


def renderer(wanted: Wanted, columns: list[tables.Column], include: str) -> Callable[[Object], Object] | None:
    """How single objects are shown to this client; None when they go out as they are."""
    if wanted.kind == "Table":
        return lambda obj: tables.table(
            columns,
            [obj],
            metadata={"resourceVersion": obj["metadata"].get("resourceVersion", "")},
            include=include,
        )
    if wanted.kind == "PartialObjectMetadata":
        return tables.partial
    return None
