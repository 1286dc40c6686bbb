"""The JSON paths of printer columns: fields, indexes, `[*]` and `[?(@.a=="b")]`."""

import re
from collections.abc import Callable
from typing import Any, Final

from isthmus.lab.api.reading import get

_STEP: Final = re.compile(
    r"""\.((?:\\.|[^.\[\]\\])+)|\['([^']+)'\]|\["([^"]+)"\]|\[(\d+)\]|\[\?\(@\.([\w.]+)\s*==\s*["']([^"']*)["']\)\]|\[(\*)\]"""
)


def json_path(path: str) -> Callable[[Any], list[Any]]:
    """A reader for the JSON paths of printer columns: fields, indexes, `[*]` and `[?(@.a=="b")]`."""
    text = path if path.startswith((".", "[")) else f".{path}"
    steps: list[Callable[[Any], list[Any]]] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return lambda _: []
        steps.append(_step(match))
        position = match.end()

    def read(obj: Any) -> list[Any]:
        found = [obj]
        for step in steps:
            found = [value for item in found for value in step(item)]
        return found

    return read


def _step(match: re.Match[str]) -> Callable[[Any], list[Any]]:
    field, single, double, index, where, wanted, every = match.groups()
    name = (field or "").replace("\\.", ".") or single or double
    if name:
        return lambda value: [value[name]] if isinstance(value, dict) and name in value else []
    if index:
        return lambda value: value[int(index) : int(index) + 1] if isinstance(value, list) else []
    if every:
        return lambda value: list(value) if isinstance(value, list) else []
    path = where.split(".")
    return lambda value: [item for item in value if str(get(item, *path)) == wanted] if isinstance(value, list) else []
