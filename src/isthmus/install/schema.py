"""Values by name: where each field of a values class is in a tree of values, and how a tree is changed by a person.

A values class is a frozen dataclass whose fields are made by `value`. Its defaults, its tree, its chart and what people
may set are all read from the class, so a value is named in one place.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, Final, TypeVar

from isthmus.install import contents
from isthmus.install.template import Lookup

Tree = dict[str, Any]
Path = tuple[str, ...]
Check = Callable[[Any], str | None]
"""What is wrong with a value, None if nothing is."""
Values = TypeVar("Values")

KINDS: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    str: "text",
    dict: "a map",
    list: "a list",
}


ELSEWHERE: Final[Mapping[str, str]] = {
    "tracing": "it belongs to the control plane: set it with `linkerd install`",
}
"""What people look for where it is not."""


class ValuesError(Exception):
    """A value that cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value that can be set."""

    path: Path
    default: Any
    check: Check | None

    @property
    def name(self) -> str:
        return ".".join(self.path)


def value(path: str, default: Any, check: Check | None = None) -> Any:
    """A field that is called `path` in a tree of values; a dataclass as default is a subtree there."""
    metadata = {"path": tuple(path.split(".")), "check": check}
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def leaves(kind: Any, at: Path = ()) -> Iterator[Leaf]:
    """Every value of a values class (or of an instance, whose values then are the defaults)."""
    for each in fields(kind):
        if "path" not in each.metadata:
            continue
        path, current = at + each.metadata["path"], _default(kind, each)
        if is_dataclass(current):
            yield from leaves(current, path)
        else:
            yield Leaf(path, current, each.metadata["check"])


def tree(kind: Any) -> Tree:
    """The values of a class or an instance as a tree."""
    made: Tree = {}
    for leaf in leaves(kind):
        put(made, leaf.path, leaf.default)
    return made


def from_tree(kind: type[Values], given: Mapping[str, Any], **others: Any) -> Values:
    """The instance that a full tree describes; `others` are the fields that no tree has."""
    return kind(**_arguments(kind, (), lambda path: _get(given, path)), **others)


def lookups(kind: type[Values], **others: Any) -> Values:
    """The instance whose every value is looked up when a chart is rendered."""
    return kind(**_arguments(kind, (), lambda path: Lookup(".Values." + ".".join(path))), **others)


def merge(kind: Any, onto: Tree, given: Mapping[str, Any], at: Path = ()) -> Tree:
    """`onto` with what is given over it. ValuesError for a name that is none, or a value of another type.

    A group without anything in it, as in a file where all of it is commented out, gives nothing.
    """
    known = {leaf.path: leaf for leaf in leaves(kind)}
    made = onto
    for key, content in given.items():
        path = (*at, str(key))
        if path in known:
            made = _changed(made, path, _checked(known[path], content, _get(made, path)))
        elif any(other[: len(path)] == path for other in known):
            if content is None:
                continue
            if not isinstance(content, Mapping):
                raise ValuesError(f"{'.'.join(path)} is a group of values: set {_inside(known, path)}.")
            made = merge(kind, made, content, path)
        else:
            raise ValuesError(_unknown(path, [leaf.name for leaf in known.values()]))
    return made


def put(onto: Tree, path: Path, content: Any) -> None:
    for part in path[:-1]:
        onto = onto.setdefault(part, {})
    onto[path[-1]] = content


def _default(kind: Any, each: "Field[Any]") -> Any:
    if not isinstance(kind, type):
        return getattr(kind, each.name)
    return each.default_factory() if each.default_factory is not MISSING else each.default


def _arguments(kind: Any, at: Path, find: Callable[[Path], Any]) -> dict[str, Any]:
    made = {}
    for each in fields(kind):
        if "path" not in each.metadata:
            continue
        path, current = at + each.metadata["path"], _default(kind, each)
        inner: Any = type(current) if is_dataclass(current) else None
        made[each.name] = inner(**_arguments(inner, path, find)) if inner else find(path)
    return made


def _get(given: Mapping[str, Any], path: Path) -> Any:
    found: Any = given
    for part in path:
        found = found[part]
    return found


def _changed(onto: Tree, path: Path, content: Any) -> Tree:
    first, *rest = path
    return {**onto, first: _changed(onto[first], tuple(rest), content) if rest else content}


def _checked(leaf: Leaf, content: Any, before: Any) -> Any:
    if content is None:
        return leaf.default
    if problem := contents.problem(leaf.name, content):
        raise ValuesError(problem)
    kind = type(leaf.default)
    if kind is str and type(content) is int:
        content = str(content)
    if kind is int and isinstance(content, str) and re.fullmatch("[0-9]{1,9}", content):
        content = int(content)
    if type(content) is not kind:
        raise ValuesError(f"{leaf.name} must be {KINDS[kind]}, not {contents.shown(content)}{_advice(kind, content)}.")
    if kind is dict:
        content = {**before, **_entries(leaf, content)}
        content = {key: text for key, text in content.items() if text is not None}
    wrong = leaf.check(content) if leaf.check else None
    if wrong:
        raise ValuesError(f"{leaf.name} is {content!r}: {wrong}.")
    return content


def _advice(kind: type, content: Any) -> str:
    """YAML and `--set` make of 1.10 a number and of true no text."""
    return f": {contents.QUOTE}, or use --set-string" if kind is str and isinstance(content, (bool, float)) else ""


def _entries(leaf: Leaf, content: Tree) -> Tree:
    try:
        return {
            key: each if each is None else contents.entry(f"{leaf.name}.{key}", each) for key, each in content.items()
        }
    except ValueError as error:
        raise ValuesError(str(error)) from None


def _inside(known: Mapping[Path, Leaf], path: Path) -> str:
    return ", ".join(leaf.name for other, leaf in known.items() if other[: len(path)] == path)


def _unknown(path: Path, known: list[str]) -> str:
    name = ".".join(path)
    why = ELSEWHERE.get(path[0])
    if why and not any(each.startswith(f"{path[0]}.") for each in known):
        return f'There is no value "{name}": {why}.'
    near = difflib.get_close_matches(name, known, n=1)
    return f'There is no value "{name}"' + (f'; the nearest is "{near[0]}".' if near else ".")
