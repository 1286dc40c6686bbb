"""The refusals of a Kubernetes API server, worded as it words them: kubectl and client libraries match on them."""

from collections.abc import Sequence
from typing import Any, Final

from isthmus.lab.api.contracts import ApiError, Object, ResourceInfo


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def not_found(info: ResourceInfo, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{info.qualified} "{name}" not found', details=_about(info, name))


def no_such_path() -> ApiError:
    details = {"causes": [{"reason": "UnexpectedServerResponse", "message": "404 page not found"}]}
    return ApiError(404, "NotFound", "the server could not find the requested resource", details=details)


def already_exists(info: ResourceInfo, name: str) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{info.qualified} "{name}" already exists', details=_about(info, name))


def conflict(info: ResourceInfo, name: str, why: str = "") -> ApiError:
    reason = why or ("the object has been modified; please apply your changes to the latest version and try again")
    message = f'Operation cannot be fulfilled on {info.qualified} "{name}": {reason}'
    return ApiError(409, "Conflict", message, details=_about(info, name))


def invalid(info: ResourceInfo, name: str, causes: Sequence[tuple[str, str]]) -> ApiError:
    """`causes` are (field path, what is wrong with it), all of them at once."""
    return _invalid(info.group, info.kind, name, causes)


def invalid_options(kind: str, causes: Sequence[tuple[str, str]]) -> ApiError:
    """What is wrong with the parameters of a request: `kind` is CreateOptions, ListOptions and so on."""
    return _invalid("meta.k8s.io", kind, "", causes)


def _invalid(group: str, kind: str, name: str, causes: Sequence[tuple[str, str]]) -> ApiError:
    shown = [f"{field}: {wrong}" for field, wrong in causes]
    text = shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"
    details: dict[str, Any] = {"name": name, "group": group, "kind": kind} | {
        "causes": [{"reason": _reason(wrong), "message": wrong, "field": field} for field, wrong in causes]
    }
    called = f"{kind}.{group}" if group else kind
    return ApiError(422, "Invalid", f'{called} "{name}" is invalid: {text}', details=details)


_REASONS: Final = {
    "Required value": "FieldValueRequired",
    "Unsupported value": "FieldValueNotSupported",
    "Not found": "FieldValueNotFound",
    "Duplicate value": "FieldValueDuplicate",
    "Forbidden": "FieldValueForbidden",
    "Too long": "FieldValueTooLong",
    "Too many": "FieldValueTooMany",
}


def _reason(wrong: str) -> str:
    """The machine's word for a problem, which its text begins with."""
    if " must be of type " in wrong:
        return "FieldValueTypeInvalid"
    return _REASONS.get(wrong.partition(":")[0], "FieldValueInvalid")


def forbidden(info: ResourceInfo, name: str, why: str) -> ApiError:
    shown = f'{info.qualified} "{name}"' if name else info.qualified
    return ApiError(403, "Forbidden", f"{shown} is forbidden: {why}", details=_about(info, name))


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unsupported_media_type(got: str, supported: Sequence[str]) -> ApiError:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(supported)}"
    return ApiError(415, "UnsupportedMediaType", f"{message} (it was {got or 'not given'})")


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def success(info: ResourceInfo, name: str, uid: str) -> Object:
    details = _about(info, name) | ({"uid": uid} if uid else {})
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _about(info: ResourceInfo, name: str) -> Object:
    details = {"kind": info.resource}
    if name:
        details = {"name": name} | details
    if info.group:
        details["group"] = info.group
    return details
