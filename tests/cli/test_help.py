"""Every command explains itself: what it does, what each flag is for, and an example."""

from collections.abc import Iterator
from importlib import import_module

import click
import pytest

from isthmus.cli.main import COMMANDS, cli

Found = tuple[tuple[str, ...], click.Command]


def commands() -> Iterator[Found]:
    """Every command that is shown, with its words."""
    yield (), cli
    for name, (where, _) in COMMANDS.items():
        module, _, attribute = where.partition(":")
        yield from _below((name,), getattr(import_module(module), attribute))


def _below(words: tuple[str, ...], command: click.Command) -> Iterator[Found]:
    if command.hidden:
        return
    yield words, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _below((*words, name), child)


ALL = [*commands()]


@pytest.mark.parametrize(("words", "command"), ALL, ids=lambda it: " ".join(it) if isinstance(it, tuple) else "")
def test_a_command_says_what_it_does_what_its_flags_are_for_and_how_it_is_used(
    words: tuple[str, ...], command: click.Command
) -> None:
    assert command.help, "what it does"
    flags = [it for it in command.params if isinstance(it, click.Option) and not it.hidden]
    assert [flag.opts[0] for flag in flags if not flag.help and flag.name != "help"] == [], "flags without a sentence"
    assert "Example" in (command.epilog or ""), "an example"
    assert " ".join(words) in (command.epilog or ""), "an example of its own"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_called_as_it_is_listed(name: str) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")
    assert getattr(import_module(module), attribute).name == name
    assert COMMANDS[name][1]
