"""OpenAPI schemas of the built-in kinds, made of lightkube's models when somebody asks: `kubectl explain` does.

Types come from the models' fields and words from their docstrings. Nothing is kept: the models are there anyway, and
few ever ask.
"""

import datetime
import inspect
import re
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec

from isthmus.lab.api.contracts import Object, ResourceInfo
from isthmus.lab.api.models import struct_of

_HOMES: Final = {
    "meta_v1": "io.k8s.apimachinery.pkg.apis.meta.v1",
    "apiextensions_v1": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
    "apiregistration_v1": "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
}
_INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_SCALARS: Final[dict[Any, Object]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    dict: {"type": "object"},
}
_FIELD: Final = re.compile(r"^ *\* \*\*(\w+)\*\* ``[^`]*``(?: - )?", re.MULTILINE)


def add(info: ResourceInfo, found: dict[str, Object]) -> str:
    """Have the schema of a kind in `found`, and those of everything it is made of; its name, empty without a model."""
    root = struct_of(info.group, info.version, info.kind)
    if root is None:
        return ""
    wanted = [root]
    while wanted:
        struct = wanted.pop()
        if (named := name(struct)) not in found:
            found[named] = _struct(struct, wanted)
    found[_INT_OR_STRING] = {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
    return name(root)


def name(struct: type) -> str:
    """What OpenAPI calls a model: `io.k8s.api.apps.v1.Deployment`."""
    module = struct.__module__.rpartition(".")[2]
    home = _HOMES.get(module) or f"io.k8s.api.{module.replace('_', '.')}"
    return f"{home}.{struct.__name__}"


def _struct(struct: type, wanted: list[type]) -> Object:
    head, words = _documentation(struct)
    hints = get_type_hints(struct)
    fields = msgspec.structs.fields(struct)
    properties: Object = {}
    for field in fields:
        schema = _schema(hints[field.name], wanted)
        said = words.get(field.name.rstrip("_"), "")
        properties[field.encode_name] = _described(schema, said)
    required = [field.encode_name for field in fields if field.required]
    schema = {"type": "object", "properties": properties}
    return {"description": head} | schema | ({"required": required} if required else {})


def _described(schema: Object, words: str) -> Object:
    """A reference says nothing beside itself in OpenAPI 3.0, so it is wrapped."""
    if not words:
        return schema
    return {"description": words} | ({"allOf": [schema]} if "$ref" in schema else schema)


def _schema(hint: Any, wanted: list[type]) -> Object:
    if get_origin(hint) is Union:
        options = [option for option in get_args(hint) if option is not type(None)]
        return _schema(options[0], wanted) if len(options) == 1 else _reference(_INT_OR_STRING)
    if get_origin(hint) is list:
        (item,) = get_args(hint)
        return {"type": "array", "items": _schema(item, wanted)}
    if get_origin(hint) is dict and (arguments := get_args(hint)):
        value = arguments[1]
        return {"type": "object", "additionalProperties": _schema(value, wanted)}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        wanted.append(hint)
        return _reference(name(hint))
    return _SCALARS.get(hint, {"type": "object"})


def _reference(named: str) -> Object:
    return {"$ref": f"#/components/schemas/{named}"}


def _documentation(struct: type) -> tuple[str, dict[str, str]]:
    """What a model's docstring says of it and of each field."""
    head, _, rest = (struct.__doc__ or "").partition("**parameters**")
    parts = _FIELD.split(rest)
    words = dict(zip(parts[1::2], map(_paragraph, parts[2::2]), strict=True))
    return _paragraph(head), words


def _paragraph(text: str) -> str:
    text = inspect.cleandoc(text).strip()
    return text if "\n\n" in text else " ".join(text.split())
