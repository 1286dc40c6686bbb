"""Port annotations: `25,3306` and `4000-4100`, as Linkerd writes them."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from isthmus import names

HIGHEST: Final = 65535
_SHOWN: Final = 40
"""An annotation may have 256 kB; so much of an entry is quoted, and read as a number."""


class PortError(ValueError):
    """A sentence about what is wrong with the annotation."""


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[int, ...]:
    """Ports and ranges separated by commas, sorted; raises `PortError`."""
    found: set[int] = set()
    for part in text.split(","):
        if not (entry := part.strip()):
            continue
        first, dash, last = entry.partition("-")
        low, high = _number(first, entry), _number(last if dash else first, entry)
        if low > high:
            raise PortError(f"the port range {entry} ends before it begins")
        found.update(range(low, high + 1))
    return tuple(sorted(found))


def _number(text: str, entry: str) -> int:
    shown = entry[:_SHOWN]
    if not text.strip().isdecimal():
        raise PortError(f"{shown!r} is neither a port nor a range of ports such as 4000-4100")
    # Python refuses to read thousands of digits, with another error.
    number = int(text) if len(text) < _SHOWN else 0
    if not 0 < number <= HIGHEST:
        raise PortError(f"{shown} is not between 1 and {HIGHEST}")
    return number


def annotated(annotations: Mapping[str, str], name: str) -> tuple[int, ...] | None:
    """The ports of an annotation, None when it is absent; raises `PortError`."""
    text = annotations.get(name)
    return None if text is None else parse(text)


def opaque(*annotations: Mapping[str, str]) -> tuple[int, ...]:
    """Opaque ports by the first of the annotation sets that names any, else Linkerd's default ones.

    A malformed annotation counts as absent here: the injector and `check` report it, and traffic must go on.
    """
    for each in annotations:
        try:
            ports = annotated(each, names.OPAQUE_PORTS_ANNOTATION)
        except PortError:
            continue
        if ports is not None:
            return ports
    return names.DEFAULT_OPAQUE_PORTS


def skipped_inbound(annotations: Mapping[str, str]) -> frozenset[int]:
    """Ports that the pod's proxy does not see; a malformed annotation counts as absent."""
    try:
        asked = annotated(annotations, names.SKIP_INBOUND_PORTS_ANNOTATION)
    except PortError:
        asked = None
    return frozenset((*names.NEVER_REDIRECTED_PORTS, *(names.DEFAULT_SKIPPED_PORTS if asked is None else asked)))


def ranges(ports: Iterable[int]) -> list[tuple[int, int]]:
    """The ports as (first, last), in order and none touching the next."""
    merged: list[tuple[int, int]] = []
    for port in sorted(set(ports)):
        if merged and port == merged[-1][1] + 1:
            merged[-1] = merged[-1][0], port
        else:
            merged.append((port, port))
    return merged
