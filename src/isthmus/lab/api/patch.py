"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396), on values that are never changed in place."""

import copy
from typing import Any, Final

import msgspec

from isthmus.lab.api.contracts import ApiError
from isthmus.lab.api.status import bad_request

MOST_OPERATIONS: Final = 10_000
MOST_COPIED: Final = 3 * 1024 * 1024
"""Bytes; each copy may copy what others made, so a short patch could fill the memory."""


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(document: Any, operations: Any) -> Any:
    """RFC 6902; raises `ApiError` 400 for a malformed patch and 422 for one that does not apply."""
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: a JSON patch is a list of operations")
    if len(operations) > MOST_OPERATIONS:
        text = f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(operations)}"
        raise ApiError(413, "RequestEntityTooLarge", text)
    result = copy.deepcopy(document)
    copied = 0
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise bad_request("error decoding patch: every operation of a JSON patch is an object with op and path")
        if operation.get("op") == "copy":
            copied += len(msgspec.json.encode(_find(result, _source(operation))))
            if copied > MOST_COPIED:
                text = f"the copies of this JSON patch make more than {MOST_COPIED} bytes"
                raise ApiError(413, "RequestEntityTooLarge", text)
        result = _apply(result, operation)
    return result


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    op = operation.get("op")
    path = _tokens(operation["path"])
    match op:
        case "add":
            return _add(document, path, copy.deepcopy(_value(operation)))
        case "remove":
            return _remove(document, path)[0]
        case "replace":
            value = copy.deepcopy(_value(operation))
            if not path:
                return value
            return _add(_remove(document, path)[0], path, value)
        case "move":
            document, moved = _remove(document, _source(operation))
            return _add(document, path, moved)
        case "copy":
            return _add(document, path, copy.deepcopy(_find(document, _source(operation))))
        case "test":
            if _find(document, path) != _value(operation):
                raise _inapplicable(f"testing value {operation['path']} failed")
            return document
        case _:
            raise bad_request(f"error decoding patch: Unexpected kind: {op}")


def _source(operation: dict[str, Any]) -> list[str]:
    return _tokens(str(operation.get("from", "")))


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise bad_request(f"error decoding patch: {operation['op']} of {operation['path']} has no value")
    return operation["value"]


def _tokens(pointer: str) -> list[str]:
    if pointer == "":
        return []
    if not pointer.startswith("/"):
        raise bad_request(f'error decoding patch: path "{pointer}" does not start with "/"')
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def _find(document: Any, path: list[str]) -> Any:
    for token in path:
        if isinstance(document, dict) and token in document:
            document = document[token]
        elif isinstance(document, list):
            document = document[_index(document, token, len(document) - 1)]
        else:
            raise _inapplicable(f"doc is missing path: /{'/'.join(path)}: missing value")
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _find(document, path[:-1])
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif isinstance(parent, list):
        position = len(parent) if path[-1] == "-" else _index(parent, path[-1], len(parent))
        parent.insert(position, value)
    else:
        raise _inapplicable(f"add operation does not apply: doc is missing path: /{'/'.join(path)}: missing value")
    return document


def _remove(document: Any, path: list[str]) -> tuple[Any, Any]:
    if not path:
        return None, document
    parent = _find(document, path[:-1])
    if isinstance(parent, dict) and path[-1] in parent:
        return document, parent.pop(path[-1])
    if isinstance(parent, list):
        return document, parent.pop(_index(parent, path[-1], len(parent) - 1))
    raise _inapplicable(f"remove operation does not apply: doc is missing path: /{'/'.join(path)}: missing value")


def _index(items: list[Any], token: str, last: int) -> int:
    if not token.isdecimal() or not token.isascii() or len(token) > len(str(last)) or int(token) > last:
        raise _inapplicable(f"Unable to access invalid index: {token[:20]}: invalid index referenced")
    return int(token)


def _inapplicable(message: str) -> ApiError:
    return ApiError(422, "Invalid", f"the server rejected our request due to an error in our request: {message}")
