"""Values that are not known yet: the same code that makes manifests makes the templates of a chart.

A chart is made by giving the builders a `Lookup` where an installation has a value. A Lookup is text, so it may be
put into other text; `when` says what depends on whether a value is set, for plain values at once, for a Lookup later.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

ACTION: Final = re.compile(r"(\{\{.*?\}\})")


class Lookup(str):
    """A place for a value, written as the action of a template."""

    __slots__ = ("expression",)
    expression: str

    def __new__(cls, expression: str) -> "Lookup":
        made = super().__new__(cls, f"{{{{ {expression} }}}}")
        made.expression = expression
        return made


class Verbatim(str):
    """Text whose braces are somebody else's template, such as an alert's: a chart leaves them as they are."""

    __slots__ = ()


class When:
    """Something that is there only if one of the conditions is set."""

    __slots__ = ("conditions", "content")

    def __init__(self, conditions: Sequence[str], content: Any) -> None:
        self.conditions = tuple(conditions)
        self.content = content

    @property
    def opening(self) -> str:
        first, *others = self.conditions
        return f"{{{{- if or {' '.join(self.conditions)} }}}}" if others else f"{{{{- if {first} }}}}"


CLOSING: Final = "{{- end }}"
ABSENT: Final = When((), None)
"""What `when` gives for plain values that are not set; `prune` takes it out."""


def when(condition: Any, content: Any, *, otherwise: Sequence[Any] = ()) -> Any:
    """`content` if `condition`, or one of `otherwise`, is set: not empty, zero or false."""
    conditions = (condition, *otherwise)
    unknown = [each.expression for each in conditions if isinstance(each, Lookup)]
    if unknown:
        return When(unknown, content)
    return content if any(conditions) else ABSENT


def every(*conditions: Any) -> Any:
    """A condition that is set if all of these are."""
    unknown = [expression(each) for each in conditions if isinstance(each, Lookup)]
    if not unknown:
        return all(conditions)
    return Lookup(f"and {' '.join(unknown)}") if all(conditions) else False


def unset(condition: Any) -> Any:
    """A condition that is set if this one is not."""
    return Lookup(f"not {expression(condition)}") if isinstance(condition, Lookup) else not condition


def when_more_than_one(number: Any, content: Any) -> Any:
    """`content` for a number above 1, such as one of replicas."""
    if isinstance(number, Lookup):
        return When((f"gt (int {number.expression}) 1",), content)
    return content if number > 1 else ABSENT


def prune(tree: Any) -> Any:
    """The tree without what `when` left out."""
    if isinstance(tree, Mapping):
        return {key: prune(value) for key, value in tree.items() if value is not ABSENT}
    if isinstance(tree, (list, tuple)):
        return [prune(value) for value in tree if value is not ABSENT]
    if isinstance(tree, When):
        return When(tree.conditions, prune(tree.content))
    return tree


def expression(text: str) -> str:
    """Text that may hold Lookups, as it is written inside another action."""
    if isinstance(text, Lookup):
        return f"({text.expression})"
    if "{{" not in text:
        return json.dumps(text)
    literal = ACTION.sub("%v", text.replace("%", "%%"))
    found = [f"({action[2:-2].strip()})" for action in ACTION.findall(text)]
    return f"(printf {json.dumps(literal)} {' '.join(found)})"


def encoded(text: str) -> str:
    """Base64, as the data of a Secret."""
    if isinstance(text, Lookup):
        return Lookup(f"{text.expression} | b64enc")
    return base64.b64encode(text.encode()).decode()


# --- to text ------------------------------------------------------------------------------------------------------
def emit(tree: Any) -> str:
    """YAML in which every Lookup and every condition is an action of a template."""
    return "\n".join(_lines(prune(tree), 0)) + "\n"


def _lines(tree: Any, indent: int) -> list[str]:
    if isinstance(tree, Mapping):
        return [line for key, value in tree.items() for line in _entry(key, value, indent)]
    return [line for value in tree for line in _item(value, indent)]


def _entry(key: str, value: Any, indent: int) -> list[str]:
    if isinstance(value, When):
        return [value.opening, *_entry(key, value.content, indent), CLOSING]
    start = f"{' ' * indent}{_scalar(key) if not re.fullmatch('[A-Za-z][A-Za-z0-9_.-]*', key) else key}:"
    if isinstance(value, str) and "\n" in value.rstrip("\n") and not isinstance(value, Lookup):
        written = _protected(value) if isinstance(value, Verbatim) else value
        return [f"{start} |", *(" " * (indent + 2) + line for line in written.splitlines())]
    if isinstance(value, (Mapping, list)) and value:
        return [start, *_lines(value, indent + 2)]
    return [f"{start} {_scalar(value)}"]


def _item(value: Any, indent: int) -> list[str]:
    if isinstance(value, When):
        return [value.opening, *_item(value.content, indent), CLOSING]
    dash = f"{' ' * indent}- "
    if not (isinstance(value, (Mapping, list)) and value):
        return [dash + _scalar(value)]
    first, *rest = _lines(value, indent + 2)
    if first.startswith("{{-"):
        return [dash.rstrip(), first, *rest]
    return [dash + first[indent + 2 :], *rest]


def _scalar(value: Any) -> str:
    """JSON is YAML; what is inside an action is left alone, for it is read before the YAML is."""
    if isinstance(value, Lookup):
        return f"{{{{ toJson ({value.expression}) }}}}"
    if isinstance(value, Verbatim):
        return _protected(json.dumps(value))
    if isinstance(value, str) and "{{" in value:
        parts = ACTION.split(value)
        return '"' + "".join(part if ACTION.fullmatch(part) else json.dumps(part)[1:-1] for part in parts) + '"'
    return json.dumps(value)


def _protected(text: str) -> str:
    """Braces that say themselves."""
    return text.replace("{{", '{{ "{{" }}')
