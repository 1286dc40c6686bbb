"""Structural schemas of custom resources: defaulting, pruning of unknown fields, validation."""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from isthmus.lab.api import strings

Schema = Mapping[str, Any]
Problem = tuple[str, str]

_KEPT_AT_ROOT: Final = frozenset({"apiVersion", "kind", "metadata"})
_CLOSE: Final = 1e-9
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


def prepare(obj: dict[str, Any], schema: Schema) -> tuple[dict[str, Any], list[str]]:
    """The object with unknown fields pruned and defaults filled in, and the paths that were pruned."""
    pruned: list[str] = []
    body = {key: value for key, value in obj.items() if key not in _KEPT_AT_ROOT}
    body = _without_nulls(_default(_prune(body, schema, "", pruned), schema), schema)
    return {key: obj[key] for key in obj if key in _KEPT_AT_ROOT} | body, pruned


def problems(obj: dict[str, Any], schema: Schema) -> list[Problem]:
    """What is wrong with an object, as (field path, what)."""
    root = {key: value for key, value in schema.items() if key != "properties"}
    properties = {k: v for k, v in (schema.get("properties") or {}).items() if k not in _KEPT_AT_ROOT}
    return list(_validate(obj, root | {"properties": properties}, ""))


def _prune(value: Any, schema: Schema, path: str, pruned: list[str]) -> Any:
    if isinstance(value, list):
        items = schema.get("items")
        if not isinstance(items, dict):
            return value
        return [_prune(item, items, f"{path}[{index}]", pruned) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    keep = (
        additional is True
        or schema.get("x-kubernetes-preserve-unknown-fields")
        or schema.get("x-kubernetes-embedded-resource")
    )
    kept: dict[str, Any] = {}
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        if key in properties:
            kept[key] = _prune(item, properties[key], where, pruned)
        elif isinstance(additional, dict):
            kept[key] = _prune(item, additional, where, pruned)
        elif keep:
            kept[key] = item
        else:
            pruned.append(where)
    return kept


def _default(value: Any, schema: Schema) -> Any:
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_default(item, schema["items"]) for item in value]
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    properties = schema.get("properties") or {}
    for key, child in properties.items():
        missing = key not in filled or (filled[key] is None and not child.get("nullable"))
        if missing and "default" in child:
            filled[key] = copy.deepcopy(child["default"])
        if key in filled:
            filled[key] = _default(filled[key], child)
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        filled |= {key: _default(item, additional) for key, item in filled.items() if key not in properties}
    return filled


def _without_nulls(value: Any, schema: Schema) -> Any:
    """The value without nulls where null is no value; what has a default has it by now."""
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_without_nulls(item, schema["items"]) for item in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    kept: dict[str, Any] = {}
    for key, item in value.items():
        child = properties.get(key, additional)
        if not isinstance(child, dict):
            kept[key] = item
        elif item is not None or child.get("nullable"):
            kept[key] = _without_nulls(item, child)
    return kept


def _validate(value: Any, schema: Schema, path: str) -> Iterator[Problem]:
    if value is None and schema.get("nullable"):
        return
    if schema.get("x-kubernetes-int-or-string") and (isinstance(value, bool) or not isinstance(value, int | str)):
        yield path, f'Invalid value: "{_type_name(value)}": {path} in body must be of type integer or string'
        return
    expected = schema.get("type")
    name = _type_name(value)
    if expected in _TYPES and not _is(value, str(expected)):
        yield path or "<root>", f'Invalid value: "{name}": {path} in body must be of type {expected}: "{name}"'
        return
    if schema.get("enum") and value not in schema["enum"]:
        listed = ", ".join(f'"{option}"' for option in schema["enum"])
        yield path, f'Unsupported value: "{value}": supported values: {listed}'
    yield from _validate_choices(value, schema, path)
    if isinstance(value, dict):
        yield from _validate_object(value, schema, path)
    elif isinstance(value, list):
        yield from _validate_list(value, schema, path)
    elif isinstance(value, str):
        yield from _validate_string(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _validate_number(value, schema, path)


def _validate_choices(value: Any, schema: Schema, path: str) -> Iterator[Problem]:
    """The junctors, which hold value validations only."""
    for part in schema.get("allOf") or ():
        yield from _validate(value, part, path)
    if (options := schema.get("anyOf")) and not any(_fits(value, option) for option in options):
        yield path, f'Invalid value: "": "{path}" must validate at least one schema (anyOf)'
    if (options := schema.get("oneOf")) and sum(_fits(value, option) for option in options) != 1:
        yield path, f'Invalid value: "": "{path}" must validate one and only one schema (oneOf)'
    if isinstance(schema.get("not"), dict) and _fits(value, schema["not"]):
        yield path, f'Invalid value: "": "{path}" must not validate the schema (not)'


def _fits(value: Any, schema: Schema) -> bool:
    return next(_validate(value, schema, ""), None) is None


def _is(value: Any, expected: str) -> bool:
    if expected == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[expected]) and (expected == "boolean" or not isinstance(value, bool))


def _type_name(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null")


def _validate_object(value: dict[str, Any], schema: Schema, path: str) -> Iterator[Problem]:
    for key in schema.get("required") or ():
        if key not in value:
            yield _join(path, key), "Required value"
    if len(value) < schema.get("minProperties", 0):
        yield (
            path,
            f"Invalid value: {len(value)}: {path} in body should have at least {schema['minProperties']} properties",
        )
    if len(value) > schema.get("maxProperties", len(value)):
        yield path, f"Too many: {len(value)}: must have at most {schema['maxProperties']} items"
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    for key, item in value.items():
        child = properties.get(key, additional)
        if isinstance(child, dict):
            yield from _validate(item, child, _join(path, key))


def _validate_list(value: list[Any], schema: Schema, path: str) -> Iterator[Problem]:
    if len(value) < schema.get("minItems", 0):
        yield path, f"Invalid value: {len(value)}: {path} in body should have at least {schema['minItems']} items"
    if len(value) > schema.get("maxItems", len(value)):
        yield path, f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
    yield from _validate_identities(value, schema, path)
    items = schema.get("items")
    if isinstance(items, dict):
        for index, item in enumerate(value):
            yield from _validate(item, items, f"{path}[{index}]")


def _validate_identities(value: list[Any], schema: Schema, path: str) -> Iterator[Problem]:
    """No item twice in a set, none with the keys of another in a map."""
    match schema.get("x-kubernetes-list-type"):
        case "set":
            identities = value
        case "map":
            keys = schema.get("x-kubernetes-list-map-keys") or ()
            identities = [{key: item.get(key) for key in keys} for item in value if isinstance(item, dict)]
        case _:
            return
    seen: set[str] = set()
    for index, identity in enumerate(identities):
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        if text in seen:
            yield f"{path}[{index}]", f"Duplicate value: {text}"
        seen.add(text)


def _validate_string(value: str, schema: Schema, path: str) -> Iterator[Problem]:
    if len(value) > schema.get("maxLength", len(value)):
        yield path, f"Too long: may not be more than {schema['maxLength']} bytes"
    for why in strings.problems(value, schema):
        yield path, f'Invalid value: "{value}": {path} in body {why}'


def _validate_number(value: float, schema: Schema, path: str) -> Iterator[Problem]:
    least, most, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if least is not None and (value <= least if schema.get("exclusiveMinimum") else value < least):
        words = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield path, f"Invalid value: {value}: {path} in body should be {words} {least}"
    if most is not None and (value >= most if schema.get("exclusiveMaximum") else value > most):
        words = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield path, f"Invalid value: {value}: {path} in body should be {words} {most}"
    if step and abs(value / step - round(value / step)) > _CLOSE:
        yield path, f"Invalid value: {value}: {path} in body should be a multiple of {step}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
