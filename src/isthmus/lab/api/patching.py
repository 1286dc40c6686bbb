"""Patches by their content types. Server-side apply is no change of the object alone: `apply` has it."""

from collections.abc import Callable
from typing import Any

from isthmus.lab.api.contracts import Object, ResourceInfo
from isthmus.lab.api.listtypes import Shapes
from isthmus.lab.api.patch import json_patch, merge_patch
from isthmus.lab.api.requests import JSON_PATCH, MERGE_PATCH, PATCHES, STRATEGIC_PATCH
from isthmus.lab.api.status import bad_request, unsupported_media_type
from isthmus.lab.api.strategic import strategic_merge_patch


def patcher(info: ResourceInfo, kind: str, body: Any, shapes: Shapes) -> Callable[[Object], Object]:
    """The function that a patch of this content type is; raises `ApiError` 400 or 415."""
    if kind == JSON_PATCH:
        return lambda obj: _object(json_patch(obj, body))
    if not isinstance(body, dict):
        raise bad_request("error decoding patch: the patch is not an object")
    if kind == MERGE_PATCH:
        return lambda obj: _object(merge_patch(obj, body))
    if kind == STRATEGIC_PATCH and not info.custom:
        return lambda obj: strategic_merge_patch(obj, body, shapes)
    raise unsupported_media_type(kind, PATCHES)


def _object(value: Any) -> Object:
    if not isinstance(value, dict):
        raise bad_request("the patch leaves something that is not an object")
    return value
