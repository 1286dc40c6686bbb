"""Protobuf on the wire: messages described by tables, field number -> (JSON name, type).

A field that is not in its table may be empty, but nothing said is dropped silently.
"""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from isthmus.lab.api.contracts import Object
from isthmus.lab.api.status import bad_request

_VARINT: Final = 0
_BYTES: Final = 2
_FIXED: Final = {1: 8, 5: 4}
"""Wire type -> length."""


class Malformed(Exception):
    """Bytes that are not protobuf."""


@dataclass(frozen=True)
class Many:
    """A repeated field."""

    of: "Type"


@dataclass(frozen=True)
class MapOf:
    """map<string, X>."""

    of: "Type"


@dataclass(frozen=True)
class Inline:
    """A message whose fields JSON shows in place of it."""

    of: "Message"


@dataclass(frozen=True)
class Present:
    """A message that says something by being there, even when it is empty."""

    of: "Message"


Message = dict[int, tuple[str, "Type"]]
Scalar = Callable[[Any], Any]
Type = Message | Many | MapOf | Inline | Present | Scalar


def text(value: Any) -> str:
    if not isinstance(value, bytes):
        raise Malformed
    return value.decode()


def number(value: Any) -> int:
    if not isinstance(value, int):
        raise Malformed
    return value - (1 << 64) if value >= 1 << 63 else value


def truth(value: Any) -> bool:
    return bool(value)


def plain_number(value: Any) -> int | None:
    """A field that Go writes even when it is zero."""
    return number(value) or None


def plain_truth(value: Any) -> bool | None:
    """A field that Go writes even when it is false."""
    return True if value else None


def blob(value: Any) -> str:
    if not isinstance(value, bytes):
        raise Malformed
    return base64.b64encode(value).decode()


def quantity(value: Any) -> str:
    return text(dict(fields(value)).get(1, b""))


def int_or_string(value: Any) -> int | str | None:
    parts = dict(fields(value))
    found = parts.get(3, b"") if parts.get(1) else parts.get(2, 0)
    return (text(found) if isinstance(found, bytes) else number(found)) or None


def decode(body: Any, message: Message) -> Object:
    """The object in the bytes of a message; raises `Malformed`, or `ApiError` for a field that is not in the table."""
    found: Object = {}
    for field, raw in fields(body):
        if field not in message:
            if not _is_empty(raw):
                raise bad_request(f"field {field} is not understood in protobuf; send the object as JSON or YAML")
            continue
        name, kind = message[field]
        if isinstance(kind, Many):
            found.setdefault(name, []).append(_value(raw, kind.of))
        elif isinstance(kind, MapOf):
            entry = dict(fields(raw))
            found.setdefault(name, {})[text(entry.get(1, b""))] = _value(entry.get(2, b""), kind.of)
        elif isinstance(kind, Inline):
            found |= decode(raw, kind.of)
        elif isinstance(kind, Present):
            found[name] = decode(raw, kind.of)
        else:
            value = _value(raw, kind)
            if value not in ("", None, {}):
                found[name] = value
    return found


def _is_empty(raw: int | bytes) -> bool:
    """Whether a field says nothing: Go writes empty messages for structs that are not set."""
    if not isinstance(raw, bytes) or not raw:
        return not raw
    try:
        return all(_is_empty(value) for _, value in fields(raw))
    except Malformed:
        return False


def _value(raw: Any, kind: Type) -> Any:
    if isinstance(kind, dict):
        return decode(raw, kind)
    if isinstance(kind, Many | MapOf | Inline | Present):
        raise Malformed
    return kind(raw)


def fields(body: Any) -> Iterator[tuple[int, int | bytes]]:
    """Number and raw value of every field, in order; raises `Malformed`."""
    if not isinstance(body, bytes):
        raise Malformed
    position = 0
    while position < len(body):
        tag, position = _varint(body, position)
        wire = tag & 7
        if wire == _VARINT:
            value, position = _varint(body, position)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            length, position = _varint(body, position)
        else:
            length = _FIXED.get(wire, -1)
        if length < 0 or position + length > len(body):
            raise Malformed
        yield tag >> 3, body[position : position + length]
        position += length


def _varint(body: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(body) or shift > 63:
            raise Malformed
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), position
        shift += 7
