"""A tutorial as a reader sees it: sections, and in them the blocks that are meant to be used, in order."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

GIVEN = "ISTHMUS_TUTORIAL"
BESIDE = Path(__file__).parents[3] / "shared/tutorial.md"
"""It is another author's text, so it lies beside the repository and not in it."""
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences, and where."""

    section: str
    language: str
    text: str
    line: int

    def __str__(self) -> str:
        return f'line {self.line}, in "{self.section}"'


@dataclass(frozen=True, slots=True)
class Command:
    """One command with its continuation lines, or the comment that stands before commands."""

    text: str

    @property
    def is_comment(self) -> bool:
        return self.text.startswith("#")


def tutorial() -> Path:
    """Where the tutorial is, or should be."""
    return Path(os.environ.get(GIVEN) or BESIDE)


def blocks(text: str) -> list[Block]:
    """Every block, in the order of the text."""
    return [
        Block(section_at(text, found.start()), found[1], found[2], text.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(text)
    ]


def section_at(text: str, position: int) -> str:
    """The last heading before a position."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub(_blank, text[:position]), re.MULTILINE)
    return str(headings[-1]) if headings else ""


def _blank(found: re.Match[str]) -> str:
    """Comments in blocks are no headings."""
    return "\n" * found[0].count("\n")


def commands(block: Block) -> list[Command]:
    """The lines of a block, with those that end in a backslash joined to the next."""
    joined = re.sub(r"\\\n\s*", "", block.text)
    return [Command(line.strip()) for line in joined.splitlines() if line.strip()]


def queries(block: Block) -> list[str]:
    """The queries of a PromQL block: blank lines are between them, comments before."""
    without = re.sub(r"^#.*\n", "", block.text, flags=re.MULTILINE)
    return [text.strip() for text in re.split(r"\n\s*\n", without) if text.strip()]


def file_name(block: Block) -> str:
    """The file that the first comment of a YAML block names."""
    found = re.match(r"# (\S+\.ya?ml)\n", block.text)
    assert found, f"{block} does not begin with a file's name"
    return found[1]
