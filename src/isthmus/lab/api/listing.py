"""Lists: selection, chunks, and the representation the client asked for."""

import base64
from collections.abc import Callable
from typing import Any, Final

import msgspec

from isthmus.lab.api import tables
from isthmus.lab.api.contracts import Object, ResourceInfo
from isthmus.lab.api.requests import Wanted
from isthmus.lab.api.selectors import Predicate
from isthmus.lab.api.status import bad_request, expired
from isthmus.lab.api.store import Expired, Kind, Store, key_of


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a list goes on: after which object, and at which revision it began."""

    revision: int
    after: tuple[str, str]


_PLACES: Final = msgspec.json.Decoder(Place)


def chunk(
    store: Store, kind: Kind, namespace: str, *, matches: Predicate | None, limit: int | None, place: Place
) -> tuple[list[Object], Object]:
    """The next `limit` objects as they were when the list began, and the metadata of this piece."""
    try:
        objects = store.list_at(*kind, namespace, place.revision)
    except Expired:
        raise expired("The provided continue parameter is too old to display a consistent list result.") from None
    objects = [obj for obj in objects if key_of(obj) > place.after and (matches is None or matches(obj))]
    metadata: dict[str, Any] = {"resourceVersion": str(place.revision)}
    if limit and len(objects) > limit:
        if matches is None:
            metadata["remainingItemCount"] = len(objects) - limit
        objects = objects[:limit]
        metadata["continue"] = _encode(Place(place.revision, key_of(objects[-1])))
    return objects, metadata


def place(token: str, revision: int) -> Place:
    """Where a continue token leads; without one, to the beginning. Raises `ApiError` 400."""
    if not token:
        return Place(revision, ("", ""))
    try:
        return _PLACES.decode(base64.urlsafe_b64decode(token))
    except (ValueError, msgspec.MsgspecError):
        raise bad_request(f'continue key is not valid: "{token}"') from None


def _encode(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


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
