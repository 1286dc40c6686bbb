"""What the commands of `isthmus lab` share: which lab, and how trouble is told."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from isthmus.lab.config import LabDir

F = TypeVar("F", bound=Callable[..., Any])


def dir_option(command: F) -> F:
    return click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path),
        default=None,
        help="Where the lab keeps its files (default: $ISTHMUS_LAB_DIR, else ~/.local/state/isthmus/lab).",
    )(command)


def lab_at(directory: Path | None) -> "LabDir":
    from isthmus.lab.config import LabDir, default_dir

    return LabDir((directory or default_dir(os.environ)).absolute())


def fail(error: Exception) -> NoReturn:
    click.echo(str(error), err=True)
    raise SystemExit(1)
