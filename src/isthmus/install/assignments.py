"""What people write after `--set`: `a.b=c,d={e,f}`, as Helm reads it, to a tree of values."""

import re
from typing import Any, Final

from isthmus.install.schema import Tree, ValuesError, put

SEPARATOR: Final = re.compile(r"(?<!\\),(?![^{]*\})")
DOT: Final = re.compile(r"(?<!\\)\.")
WORDS: Final = {"true": True, "false": False, "null": None}


def parse(text: str, *, typed: bool = True) -> Tree:
    """Assignments separated by commas; `\\,` and `\\.` are a comma and a dot that separate nothing.

    With `typed` off every value is text, as after `--set-string`.
    """
    made: Tree = {}
    for assignment in SEPARATOR.split(text):
        name, equals, content = assignment.partition("=")
        if not equals or not name.strip():
            raise ValuesError(f"{assignment!r} assigns nothing: write it as name=value.")
        path = tuple(part.replace("\\.", ".") for part in DOT.split(name.strip()))
        try:
            put(made, path, _content(content, typed=typed))
        except (TypeError, AttributeError):
            raise ValuesError(f"{name.strip()} is set twice, as a value and as a group of values.") from None
    return made


def _content(text: str, *, typed: bool) -> Any:
    if text.startswith("{") and text.endswith("}"):
        return [_content(part, typed=typed) for part in text[1:-1].split(",") if part]
    plain = text.replace("\\,", ",")
    if not typed:
        return plain
    if plain in WORDS:
        return WORDS[plain]
    return int(plain) if re.fullmatch("0|-?[1-9][0-9]*", plain) else plain
