"""What a schema says of strings: patterns, matched within bounds, and formats."""

import base64
import datetime
import ipaddress
import re
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Final

_SECONDS: Final = 0.1
"""How much of the processor one match may take: whoever may write definitions may not hold up the server."""


class _TooLong(Exception):
    """A match that takes too long."""


def problems(value: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a string, in words that follow its path."""
    if len(value) < schema.get("minLength", 0):
        yield f"should be at least {schema['minLength']} chars long"
    pattern, form = schema.get("pattern"), schema.get("format")
    if isinstance(pattern, str):
        try:
            if not _matches(pattern, value):
                yield f"should match '{pattern}'"
        except _TooLong:
            yield f"takes too long to match '{pattern}'"
    if form in _FORMATS and not _has_form(value, _FORMATS[form]):
        yield f'must be of type {form}: "{value}"'


def _matches(pattern: str, value: str) -> bool:
    try:
        compiled = re.compile(pattern)
    except re.error:
        return True  # Go's dialect: what Python cannot read is not enforced
    if threading.current_thread() is not threading.main_thread():
        return compiled.search(value) is not None
    before = signal.signal(signal.SIGVTALRM, _interrupt)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
        return compiled.search(value) is not None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise _TooLong


def _has_form(value: str, parse: Callable[[str], object]) -> bool:
    try:
        parse(value)
    except ValueError:
        return False
    return True


def _cidr(value: str) -> None:
    if "/" not in value:
        raise ValueError
    ipaddress.ip_interface(value)


def _moment(value: str) -> None:
    if len(value) < len("2006-01-02T15:04:05Z") or value[10] not in "Tt":
        raise ValueError
    datetime.datetime.fromisoformat(value)


_FORMATS: Final[dict[Any, Callable[[str], object]]] = {
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "cidr": _cidr,
    "date-time": _moment,
    "date": datetime.date.fromisoformat,
    "uuid": uuid.UUID,
    "byte": lambda value: base64.b64decode(value, validate=True),
}
