"""Strategic merge patch: JSON merge patch that knows which lists are maps, with directives for the rest.

Directives: `$patch: delete|replace|merge`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`, `$retainKeys`.
"""

from typing import Any, Final

from isthmus.lab.api.listtypes import Keyed, Path, SetOf, Shapes, distinct
from isthmus.lab.api.status import bad_request

_ORDER: Final = "$setElementOrder/"
_DELETE_PRIMITIVES: Final = "$deleteFromPrimitiveList/"


def strategic_merge_patch(target: Any, patch: Any, shapes: Shapes) -> Any:
    """The target with a strategic merge patch applied; raises `ApiError` 400 for a patch that makes no sense."""
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: a strategic merge patch is an object")
    return _merge_maps(target if isinstance(target, dict) else {}, patch, (), shapes)


def _merge_maps(target: dict[str, Any], patch: dict[str, Any], path: Path, shapes: Shapes) -> dict[str, Any]:
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: _without_directives(value) for key, value in patch.items() if not key.startswith("$")}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"unknown patch type found: {directive}")
    merged = dict(target)
    retained = patch.get("$retainKeys")
    if retained is not None:
        if not isinstance(retained, list):
            raise bad_request("$retainKeys must be a list of field names")
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge_field(merged.get(key), value, (*path, key), shapes)
    _delete_primitives(merged, patch)
    _set_order(merged, patch, path, shapes)
    return merged


def _merge_field(target: Any, value: Any, path: Path, shapes: Shapes) -> Any:
    if isinstance(value, dict):
        return _merge_maps(target if isinstance(target, dict) else {}, value, path, shapes)
    if not isinstance(value, list):
        return value
    current = target if isinstance(target, list) else []
    shape = shapes.of(path, value)
    if isinstance(shape, Keyed):
        return _merge_items(current, value, shape, path, shapes)
    if isinstance(shape, SetOf) and shape.in_patches:
        return distinct([*current, *value])
    return _without_directives(value)


def _merge_items(current: list[Any], patch: list[Any], shape: Keyed, path: Path, shapes: Shapes) -> list[Any]:
    key = shape.keys[0]
    items = list(current)
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        items = []
    for item in patch:
        if not isinstance(item, dict):
            raise bad_request(f"{'.'.join(path)}: the items of this list are objects")
        if item.get("$patch") == "replace":
            continue
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        position = next(
            (i for i, have in enumerate(items) if isinstance(have, dict) and have.get(key) == item[key]), None
        )
        if item.get("$patch") == "delete":
            items = [have for have in items if not (isinstance(have, dict) and have.get(key) == item[key])]
        elif position is None:
            items.append(_merge_maps({}, item, path, shapes))
        else:
            items[position] = _merge_maps(items[position], item, path, shapes)
    return items


def _delete_primitives(merged: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        field = key.removeprefix(_DELETE_PRIMITIVES)
        if field != key and isinstance(value, list) and isinstance(merged.get(field), list):
            merged[field] = [item for item in merged[field] if item not in value]


def _set_order(merged: dict[str, Any], patch: dict[str, Any], path: Path, shapes: Shapes) -> None:
    """Items named in the order come in that order; others keep their place."""
    for key, order in patch.items():
        field = key.removeprefix(_ORDER)
        items = merged.get(field)
        if field == key or not isinstance(order, list) or not isinstance(items, list):
            continue
        shape = shapes.of((*path, field), items)
        merged[field] = _ordered(items, order, shape.keys[0] if isinstance(shape, Keyed) else None)


def _ordered(items: list[Any], order: list[Any], merge_key: str | None) -> list[Any]:
    ranks = [_name(item, merge_key) for item in order]
    named = [item for item in items if _name(item, merge_key) in ranks]
    ordered = iter(sorted(named, key=lambda item: ranks.index(_name(item, merge_key))))
    return [next(ordered) if _name(item, merge_key) in ranks else item for item in items]


def _name(item: Any, merge_key: str | None) -> Any:
    return item.get(merge_key) if merge_key and isinstance(item, dict) else item


def _without_directives(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_directives(item) for key, item in value.items() if not key.startswith("$")}
    if isinstance(value, list):
        return [_without_directives(item) for item in value if not (isinstance(item, dict) and "$patch" in item)]
    return value
