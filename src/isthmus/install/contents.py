"""What a value may hold: text, numbers, true and false, lists and maps of them, as Kubernetes can be sent it.

A file of values may hold more: YAML reads dates and bytes out of what looks like text, and lists that hold themselves.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

DEEPEST: Final = 20
QUOTE: Final = "put it in quotes"


def problem(name: str, content: Any, *, depth: int = 0) -> str | None:
    """What cannot be sent, by name, and what to do; None where all can."""
    match content:
        case None | bool() | int():
            return None
        case str():
            return None if _is_text(content) else f"{name} is {content!r}, which is no text."
        case float():
            return None if math.isfinite(content) else f"{name} is {content}, which is no number: {QUOTE}."
        case Mapping() | list() if depth == DEEPEST:
            return f"{name} is nested too deeply, or in itself."
        case list():
            inner = [(f"{name}[{index}]", each) for index, each in enumerate(content)]
        case Mapping():
            odd = next((key for key in content if not isinstance(key, str)), None)
            if odd is not None:
                return f"{name} has an entry named {shown(odd)}, which is not text: {QUOTE}."
            inner = [(f"{name}.{key}", each) for key, each in content.items()]
        case _:
            return f"{name} is {shown(content)}: {QUOTE}."
    return next((found for where, each in inner if (found := problem(where, each, depth=depth + 1))), None)


def entry(name: str, content: Any) -> Any:
    """An entry of a map such as labels, where Kubernetes wants text: a number is its digits. Raises ValueError."""
    if isinstance(content, (str, Mapping)):
        return content
    if isinstance(content, int) and not isinstance(content, bool):
        return str(content)
    raise ValueError(f"{name} must be text, not {shown(content)}: {QUOTE}, or use --set-string.")


def shown(content: Any) -> str:
    """As whoever wrote a file of values knows it."""
    match content:
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[content]
        case str() | int() | float() | list() | Mapping():
            return repr(content)
        case bytes():
            return "bytes"
        case _:
            return f"the {type(content).__name__} {content}"


def _is_text(content: str) -> bool:
    try:
        content.encode()
    except UnicodeEncodeError:
        return False
    return True
