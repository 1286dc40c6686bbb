"""Lines of Prometheus' text format. Another party wrote them: a line that cannot be read is no line. Pure."""

import re
from collections.abc import Iterator
from typing import Final

LONGEST_LINE: Final = 8192
LONGEST_VALUE: Final = 256
"""Characters of a label's value; what is longer is cut, for nobody can read it in a table."""
LARGEST: Final = 2.0**53
"""Beyond it a float does not count one by one; what one pod writes must not add up to infinity for all."""
_NAME: Final = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(rb'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPED: Final = re.compile(r"\\(.)")
_ESCAPES: Final = {"n": "\n", "\\": "\\", '"': '"'}


def lines(body: bytes) -> Iterator[tuple[bytes, float]]:
    """Series as written (`name{labels}`), and their values, none beyond `LARGEST`. A timestamp is ignored."""
    for line in body.split(b"\n"):
        if not line or line[:1] == b"#" or len(line) > LONGEST_LINE:
            continue
        head, brace, tail = line.rpartition(b"}")
        if not brace:
            head, _, tail = line.partition(b" ")
            if b"{" in head:
                continue
        try:
            value = float(tail.split(None, 1)[0])
        except (ValueError, IndexError):
            continue
        if abs(value) <= LARGEST:
            yield head, value


def series(written: bytes) -> tuple[str, dict[str, str]] | None:
    """Name and labels of a series as `lines` gives it; None when it cannot be read."""
    name, brace, rest = written.partition(b"{")
    name = name.strip()
    if not _NAME.fullmatch(name):
        return None
    found: dict[str, str] = {}
    position = 0
    while brace and position < len(rest):
        matched = _LABEL.match(rest, position)
        if matched is None or matched.end() == position:
            return None if rest[position:].strip() else (name.decode(), found)
        label = matched[1].decode()
        if label in found:
            return None
        found[label] = _unescaped(matched[2].decode("utf-8", "replace"))[:LONGEST_VALUE]
        position = matched.end()
    return name.decode(), found


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda matched: _ESCAPES.get(matched[1], matched[0]), text) if "\\" in text else text
