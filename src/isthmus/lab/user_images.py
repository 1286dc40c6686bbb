"""The images a user adds to a lab: names and the programs of this machine that stand for them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isthmus.lab.config import LabError
from isthmus.lab.images import USER_FILE, repository_of


def read(lab_dir: Path) -> dict[str, Any]:
    """Every added image: repository -> its entry."""
    file = lab_dir / USER_FILE
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise LabError(f"{file} cannot be read ({error}): correct or delete it.") from None
    if not isinstance(found, dict):
        raise LabError(f"{file} must hold an object, image name to program: correct or delete it.")
    return found


def add(lab_dir: Path, image: str, program: Sequence[str]) -> str:
    """Have `program` stand for an image from now on; returns the name it goes by, without tag.

    Files that the command line names are seen by its containers at the same place, which have only /usr otherwise.
    """
    name = repository_of(image)
    words = [str(Path(word).absolute()) if Path(word).is_file() else word for word in program]
    own = [word for word in words if Path(word).is_file() and not Path(word).parent.resolve().is_relative_to("/usr")]
    files = {"files": {word: word for word in own}} if own else {}
    _write(lab_dir, {**read(lab_dir), name: {"entrypoint": words, **files}})
    return name


def remove(lab_dir: Path, image: str) -> str:
    """Forget an added image; pods that run keep running."""
    name, known = repository_of(image), read(lab_dir)
    if name not in known:
        added = ", ".join(sorted(known)) or "none"
        raise LabError(f"No image named {name!r} was added to this lab (added: {added}).")
    _write(lab_dir, {key: entry for key, entry in known.items() if key != name})
    return name


def _write(lab_dir: Path, entries: Mapping[str, Any]) -> None:
    file = lab_dir / USER_FILE
    temporary = file.with_name(f".{file.name}.new")
    temporary.write_text(json.dumps(entries, indent=2) + "\n")
    temporary.replace(file)
