"""Are the fields of a built-in object of the right type? Answered by lightkube's models of the Kubernetes API."""

import base64
import importlib
from functools import cache
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec

from isthmus.lab.api.contracts import ApiError, Object, ResourceInfo
from isthmus.lab.api.status import bad_request, invalid

_PACKAGES: Final = {
    "": "core",
    "rbac.authorization.k8s.io": "rbac",
    "discovery.k8s.io": "discovery",
    "admissionregistration.k8s.io": "admissionregistration",
    "apiextensions.k8s.io": "apiextensions",
    "apiregistration.k8s.io": "apiregistration",
    "coordination.k8s.io": "coordination",
    "networking.k8s.io": "networking",
    "node.k8s.io": "node",
    "scheduling.k8s.io": "scheduling",
    "storage.k8s.io": "storage",
}

_STRING_MAPS: Final = (("metadata", "labels"), ("metadata", "annotations"))
"""Maps that the models leave open."""
_KIND_STRING_MAPS: Final = {
    ("", "ConfigMap"): (("data",),),
    ("", "Secret"): (("stringData",),),
    ("", "Service"): (("spec", "selector"),),
    ("apps", "Deployment"): (("spec", "selector", "matchLabels"), ("spec", "template", "metadata", "labels")),
}
_BASE64_MAPS: Final = {("", "ConfigMap"): (("binaryData",),), ("", "Secret"): (("data",),)}


@cache
def struct_of(group: str, version: str, kind: str) -> type | None:
    """The model of a built-in kind, if there is one."""
    package = _PACKAGES.get(group, group)
    try:
        module = importlib.import_module(f"lightkube.models.{package}_{version}")
    except ModuleNotFoundError:
        return None
    found = getattr(module, kind, None)
    return found if isinstance(found, type) else None


def check(info: ResourceInfo, name: str, obj: Object) -> None:
    """Raise `ApiError` 400 for a field of the wrong type and 422 for one that is missing."""
    model = None if info.custom else struct_of(info.group, info.version, info.kind)
    if model is not None:
        _convert(info, name, obj, model)
    else:
        metadata = struct_of("meta", "v1", "ObjectMeta")
        _convert(info, name, obj.get("metadata"), metadata or dict)
    for path in (*_STRING_MAPS, *_KIND_STRING_MAPS.get((info.group, info.kind), ())):
        for key, value in _at(obj, path).items():
            if not isinstance(value, str):
                raise _unfit(info, f"{'.'.join(path)}[{key}] is not a string")
    for path in _BASE64_MAPS.get((info.group, info.kind), ()):
        for key, value in _at(obj, path).items():
            if not _is_base64(value):
                raise _unfit(info, f"{'.'.join(path)}[{key}] is not base64")


def _at(obj: Object, path: tuple[str, ...]) -> Object:
    for step in path:
        obj = obj.get(step) or {}
    return obj


def _is_base64(value: Any) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (ValueError, TypeError):
        return False
    return True


def _unfit(info: ResourceInfo, why: str) -> ApiError:
    return bad_request(f'{info.kind} in version "{info.version}" cannot be handled as a {info.kind}: {why}')


def _convert(info: ResourceInfo, name: str, value: Any, model: type) -> None:
    try:
        msgspec.convert(value, model)
    except msgspec.ValidationError as error:
        raise _worded(info, name, str(error)) from error


def _worded(info: ResourceInfo, name: str, message: str) -> ApiError:
    what, _, where = message.partition(" - at ")
    path = where.strip("`").removeprefix("$.").removeprefix("$")
    if what.startswith("Object missing required field"):
        missing = what.split("`")[1]
        return invalid(info, name, [(f"{path}.{missing}".strip("."), "Required value")])
    return _unfit(info, f"{path}: {what}")


def known(info: ResourceInfo, obj: Object) -> tuple[Object, list[str]]:
    """The object without fields that its kind does not have, and the paths of those."""
    unknown: list[str] = []
    model = struct_of(info.group, info.version, info.kind)
    return (obj if model is None else _known(obj, model, "", unknown)), unknown


def _known(value: Any, model: Any, path: str, unknown: list[str]) -> Any:
    if isinstance(value, list) and get_origin(model) is list:
        (item_model,) = get_args(model)
        return [_known(item, item_model, f"{path}[{index}]", unknown) for index, item in enumerate(value)]
    if not (isinstance(value, dict) and isinstance(model, type) and issubclass(model, msgspec.Struct)):
        return value
    fields = _fields(model)
    unknown += [f"{path}.{key}".strip(".") for key in value if key not in fields]
    return {
        key: _known(item, fields[key], f"{path}.{key}".strip("."), unknown)
        for key, item in value.items()
        if key in fields
    }


@cache
def _fields(model: type) -> dict[str, Any]:
    """JSON field name -> type without its None."""
    hints = get_type_hints(model)
    return {field.encode_name: _some(hints[field.name]) for field in msgspec.structs.fields(model)}


def _some(hint: Any) -> Any:
    if get_origin(hint) is Union:
        options = [option for option in get_args(hint) if option is not type(None)]
        return options[0] if len(options) == 1 else None
    return hint
