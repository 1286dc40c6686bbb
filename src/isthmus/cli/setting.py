"""`--set`, `--set-string`, `--set-file` and `--values`, as Helm has them, for every command that installs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import yaml

from isthmus.cli.options import fail
from isthmus.install import assignments, schema
from isthmus.install.schema import Tree, ValuesError

SETTING: Final = (
    click.option("-f", "--values", multiple=True, metavar="FILE", help="YAML file of values; may be repeated"),
    click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Set a value: imagePullPolicy=Never"),
    click.option("--set-string", multiple=True, metavar="NAME=TEXT", help="Set a value to text, even 1 or true"),
    click.option("--set-file", multiple=True, metavar="NAME=FILE", help="Set a value to what a file holds"),
)
"""The options; a command takes them as `values`, `settings`, `set_string`, `set_file`."""


def given_values(
    values: Sequence[str], settings: Sequence[str], set_string: Sequence[str], set_file: Sequence[str]
) -> list[Tree]:
    """What was given, later over earlier: files, then each kind of assignment."""
    try:
        return [
            *(_file(name) for name in values),
            *(assignments.parse(text) for text in settings),
            *(assignments.parse(text, typed=False) for text in set_string),
            *(_contents(assignments.parse(text, typed=False)) for text in set_file),
        ]
    except ValuesError as error:
        fail(str(error))


def full_values(kind: Any, given: Sequence[Mapping[str, Any]], *, apart: Sequence[str] = ()) -> Tree:
    """The defaults of a values class with what was given over them; `apart` are names that the class does not have."""
    made: Tree = schema.tree(kind)
    others: Tree = {}
    for tree in given:
        others |= {name: tree[name] for name in apart if name in tree}
        try:
            made = schema.merge(kind, made, {name: tree[name] for name in tree if name not in apart})
        except ValuesError as error:
            fail(str(error), "`--help` and the documentation of installation list what can be set.")
    return made | others


def _file(name: str) -> Tree:
    try:
        found = yaml.safe_load(Path(name).read_text())
    except (OSError, UnicodeDecodeError) as error:
        fail(f"The values in {name} cannot be read: {getattr(error, 'strerror', None) or error}.")
    except yaml.YAMLError as error:
        fail(f"The values in {name} are no YAML: {error}.")
    if not isinstance(found or {}, dict):
        fail(f"The values in {name} are not a map of names to values.")
    return dict(found or {})


def _contents(tree: Tree) -> Tree:
    """The tree with files' names replaced by what they hold."""

    def read(content: Any) -> Any:
        if isinstance(content, dict):
            return {key: read(inner) for key, inner in content.items()}
        try:
            return Path(str(content)).read_text()
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{content} cannot be read: {getattr(error, 'strerror', None) or error}.")

    return {key: read(inner) for key, inner in tree.items()}
