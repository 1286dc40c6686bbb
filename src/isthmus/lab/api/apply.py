"""Server-side apply: who owns which field, what conflicts, and what goes away when an owner lets go.

A set of fields is a frozenset of paths; a path is a tuple of `fieldsV1` segments (`f:name`, `k:{"name":"x"}`, `v:"x"`).
An item of a keyed list is a path of its own (the `.` of fieldsV1), so that an owner can hold an item and nothing in it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from isthmus.lab import stamps
from isthmus.lab.api.contracts import ApiError, Object
from isthmus.lab.api.listtypes import Keyed, Path, SetOf, Shapes, identity

Segments = tuple[str, ...]
Fields = frozenset[Segments]

_IDENTITY: Final = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "deletionTimestamp",
                "selfLink",
                "managedFields",
            )
        ),
    }
)
"""Fields that nobody owns."""


_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_UPGRADING: Final = "kubectl"
"""The manager whose conflicts with its own client-side apply are none."""


@dataclass(frozen=True)
class Owner:
    """A manager and the way it writes: one entry of managedFields."""

    manager: str
    operation: str
    subresource: str = ""


@dataclass(frozen=True)
class Entry:
    api_version: str
    time: str
    fields: Fields


Managers = dict[Owner, Entry]


def fields_of(obj: Object, shapes: Shapes) -> Fields:
    """Every field an object speaks about."""
    return frozenset(path for path, _ in _owned(obj, shapes))


def _nobodys(path: Segments) -> bool:
    return path[:1] in _IDENTITY or path[:2] in _IDENTITY or path == ("f:metadata",)


def _leaves(value: Any, segments: Segments, path: Path, shapes: Shapes) -> Iterator[tuple[Segments, Any]]:
    """The owned paths of a value with what is there; containers that merge contribute their parts."""
    if isinstance(value, dict):
        if path and (not value or shapes.of(path, value) is not None):
            yield segments, value
            return
        for key, item in value.items():
            yield from _leaves(item, (*segments, f"f:{key}"), (*path, key), shapes)
    elif isinstance(value, list):
        yield from _list_leaves(value, segments, path, shapes)
    else:
        yield segments, value


def _list_leaves(items: list[Any], segments: Segments, path: Path, shapes: Shapes) -> Iterator[tuple[Segments, Any]]:
    shape = shapes.of(path, items)
    names = _item_segments(items, shape)
    if not items or names is None:
        yield segments, items
        return
    for name, item in zip(names, items, strict=True):
        yield (*segments, name), (item if isinstance(shape, SetOf) else None)
        if isinstance(shape, Keyed):
            for key, value in item.items():
                yield from _leaves(value, (*segments, name, f"f:{key}"), (*path, key), shapes)


def _item_segments(items: list[Any], shape: object) -> list[str] | None:
    """The segment of each item; None when the list is atomic or its items cannot be told apart."""
    if isinstance(shape, SetOf):
        names = ["v:" + _json(item) for item in items]
    elif isinstance(shape, Keyed):
        names = []
        for item in items:
            values = identity(shape, item)
            if values is None:
                return None
            names.append("k:" + _json(dict(zip(shape.keys, values, strict=True))))
    else:
        return None
    return names if len(set(names)) == len(names) else None


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


# --- fieldsV1 and managedFields -----------------------------------------------------------------------------------
def encode(fields: Fields) -> Object:
    root: Object = {}
    for path in sorted(fields, key=len, reverse=True):
        node = root
        for segment in path:
            node = node.setdefault(segment, {})
        if node or path[-1].startswith("k:"):
            node["."] = {}
    return root


def decode(fields: Any) -> Fields:
    return frozenset(_paths(fields, ()))


def _paths(node: Any, prefix: Segments) -> Iterator[Segments]:
    if not isinstance(node, dict):
        return
    if prefix and (not node or "." in node):
        yield prefix
    for segment, child in node.items():
        if segment != ".":
            yield from _paths(child, (*prefix, segment))


def read(managed: Any) -> Managers:
    """The owners in `metadata.managedFields`; entries that make no sense are left out."""
    found: Managers = {}
    for entry in managed or ():
        if isinstance(entry, dict) and isinstance(entry.get("manager"), str):
            owner = Owner(entry["manager"], str(entry.get("operation")), str(entry.get("subresource") or ""))
            fields = decode(entry.get("fieldsV1"))
            if owner in found:
                fields |= found[owner].fields
            found[owner] = Entry(str(entry.get("apiVersion", "")), str(entry.get("time", "")), fields)
    return found


def write(managers: Managers) -> list[Object]:
    entries = []
    for owner, entry in managers.items():
        if not entry.fields:
            continue
        shown: Object = {
            "manager": owner.manager,
            "operation": owner.operation,
            "apiVersion": entry.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": encode(entry.fields),
        }
        entries.append(shown | ({"subresource": owner.subresource} if owner.subresource else {}))
    return entries


# --- updates ------------------------------------------------------------------------------------------------------
def updated(
    managers: Managers, old: Object | None, new: Object, owner: Owner, *, api_version: str, shapes: Shapes
) -> Managers:
    """The owners after a create, update or patch: what changed is the writer's, what vanished is nobody's."""
    old = old or {}
    parts = [part for part in {**old, **new} if part not in old or part not in new or old[part] != new[part]]
    before = dict(_owned({part: old[part] for part in parts if part in old}, shapes))
    after = dict(_owned({part: new[part] for part in parts if part in new}, shapes))
    changed = frozenset(path for path, value in after.items() if path not in before or before[path] != value)
    gone = frozenset(path for path in before if path not in after)
    if not changed and not gone:
        return managers
    result: Managers = {}
    for other, entry in managers.items():
        kept = entry.fields - gone
        result[other] = Entry(entry.api_version, entry.time, kept if other == owner else kept - changed)
    if changed:
        mine = result.get(owner)
        result[owner] = Entry(api_version, stamps.now(), changed | (mine.fields if mine else frozenset()))
    return {other: entry for other, entry in result.items() if entry.fields}


def _owned(obj: Object, shapes: Shapes) -> Iterable[tuple[Segments, Any]]:
    metadata = obj.get("metadata")
    if metadata:
        obj = obj | {"metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}
    return ((path, value) for path, value in _leaves(obj, (), (), shapes) if not _nobodys(path))


# --- apply --------------------------------------------------------------------------------------------------------
def applied(
    live: Object, config: Object, managers: Managers, owner: Owner, *, force: bool, api_version: str, shapes: Shapes
) -> tuple[Object, Managers]:
    """The live object with a configuration applied, and its owners; raises `ApiError` 409 for fields of others."""
    wanted = dict(_owned(config, shapes))
    mine = frozenset(wanted)
    have = dict(_owned(live, shapes))
    differing = frozenset(path for path, value in wanted.items() if path in have and have[path] != value)
    conflicts = {
        other: entry.fields & differing
        for other, entry in managers.items()
        if other != owner and entry.fields & differing
    }
    if conflicts and not force:
        settled = _last_applied(have, live, api_version, shapes) if owner.manager == _UPGRADING else frozenset()
        conflicts = {other: fields - settled for other, fields in conflicts.items() if fields - settled}
        if conflicts:
            raise _conflict(conflicts, managers)
    merged = merge(live, config, (), shapes)
    previous = managers[owner].fields if owner in managers else frozenset()
    others = frozenset(path for other, entry in managers.items() if other != owner for path in entry.fields)
    # An item goes before its parts: without its keys it could not be found any more.
    for path in sorted(previous - mine - others, key=len):
        if not _is_prefix(path, mine | others) and not _is_key(path):
            merged = _without(merged, path, (), shapes)
    merged = merge(merged, config, (), shapes)  # puts back what is configured to be empty
    present = frozenset(path for path, _ in _owned(merged, shapes))
    result: Managers = {}
    for other, entry in managers.items():
        if other != owner:
            kept = (entry.fields - differing) & present
            if kept:
                result[other] = Entry(entry.api_version, entry.time, kept)
    before = managers.get(owner)
    time = before.time if before is not None and before.fields == mine and merged == live else stamps.now()
    result[owner] = Entry(api_version, time, mine)
    return (_with_last_applied(merged, config) if owner.manager == _UPGRADING else merged), result


def _last_applied(have: dict[Segments, Any], live: Object, api_version: str, shapes: Shapes) -> Fields:
    """What client-side apply wrote and nobody changed since: its user may go on with server-side apply."""
    try:
        written = json.loads(live["metadata"]["annotations"][_LAST_APPLIED])
        if written["apiVersion"] != api_version:
            return frozenset()
        return frozenset(path for path, value in _owned(written, shapes) if path in have and have[path] == value)
    except (KeyError, TypeError, ValueError, AttributeError):
        return frozenset()


def _with_last_applied(merged: Object, config: Object) -> Object:
    """The object with the annotation of client-side apply, if there is one, as if it had been used again."""
    annotations = merged["metadata"].get("annotations") or {}
    if _LAST_APPLIED not in annotations:
        return merged
    metadata = merged["metadata"] | {"annotations": annotations | {_LAST_APPLIED: _json(config) + "\n"}}
    return merged | {"metadata": metadata}


def _is_prefix(path: Segments, fields: Fields) -> bool:
    return any(other[: len(path)] == path for other in fields)


def _is_key(path: Segments) -> bool:
    """Whether a path is a field that its list item is known by."""
    return len(path) > 1 and path[-2].startswith("k:") and path[-1][2:] in json.loads(path[-2][2:])


def merge(live: Any, config: Any, path: Path, shapes: Shapes) -> Any:
    """What server-side apply makes of a live value and a configured one; nothing is removed."""
    if isinstance(config, dict) and isinstance(live, dict):
        if path and shapes.of(path, config) is not None:
            return config
        merged = dict(live)
        for key, value in config.items():
            merged[key] = merge(live[key], value, (*path, key), shapes) if key in live else value
        return merged
    if isinstance(config, list) and isinstance(live, list):
        shape = shapes.of(path, config)
        theirs, ours = _item_segments(live, shape), _item_segments(config, shape)
        if theirs is None or ours is None:
            return config
        items = dict(zip(theirs, live, strict=True))
        for name, item in zip(ours, config, strict=True):
            items[name] = merge(items[name], item, path, shapes) if name in items and isinstance(item, dict) else item
        return list(items.values())
    return config


def _without(value: Any, segments: Segments, path: Path, shapes: Shapes) -> Any:
    """The value without what is at `segments`; containers left empty go too, as their owner let go of them."""
    head, rest = segments[0], segments[1:]
    if head.startswith("f:") and isinstance(value, dict):
        name = head[2:]
        if name not in value:
            return value
        remaining = {key: item for key, item in value.items() if key != name}
        if not rest:
            return remaining
        child = _without(value[name], rest, (*path, name), shapes)
        return remaining if child in ({}, []) else value | {name: child}
    if isinstance(value, list):
        names = _item_segments(value, shapes.of(path, value))
        if names is None or head not in names:
            return value
        position = names.index(head)
        if not rest:
            return value[:position] + value[position + 1 :]
        return [*value[:position], _without(value[position], rest, path, shapes), *value[position + 1 :]]
    return value


def _conflict(conflicts: dict[Owner, Fields], managers: Managers) -> ApiError:
    causes: list[Object] = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_described(owner, managers[owner])}",
            "field": shown(path),
        }
        for owner, fields in conflicts.items()
        for path in sorted(fields)
    ]
    count = len(causes)
    first = causes[0]
    detail = f"{first['message']}: {first['field']}"
    if count > 1:
        listed = "\n".join(f"- {cause['message']}: {cause['field']}" for cause in causes)
        detail = f"conflicts:\n{listed}"
    text = f"Apply failed with {count} conflict{'s' if count > 1 else ''}: {detail}"
    return ApiError(409, "Conflict", text, details={"causes": causes})


def _described(owner: Owner, entry: Entry) -> str:
    subresource = f' with subresource "{owner.subresource}"' if owner.subresource else ""
    return f'"{owner.manager}"{subresource}' + ("" if owner.operation == "Apply" else f" using {entry.api_version}")


def shown(path: Segments) -> str:
    """A path as messages show it: `.spec.containers[name="app"].image`."""
    text = ""
    for segment in path:
        kind, _, value = segment.partition(":")
        if kind == "f":
            text += f".{value}"
        elif kind == "k":
            text += "[" + ",".join(f"{key}={_json(item)}" for key, item in json.loads(value).items()) + "]"
        else:
            text += f"[={value}]"
    return text
