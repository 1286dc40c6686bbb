"""What changed, and what an answer depended on, in one vocabulary.

Writers add the topics that changed. A question that is asked inside `trace` also yields the topics that it read, so
that whoever keeps the answer knows when to ask again.
"""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

Topic = tuple[str, ...]
"""Something an answer may depend on, such as `("service", "shop", "web")`."""

LINKS: Topic = ("links",)
FEDERATION: Topic = ("federation",)
ROOTS: Topic = ("roots",)
OPAQUE_PORTS: Topic = ("opaque ports",)


class Topics:
    """What changed since it was last taken, and what is read while somebody traces."""

    def __init__(self) -> None:
        self.changed: set[Topic] = set()
        self._read: set[Topic] | None = None

    def trace(self, question: Callable[[], T]) -> tuple[T, frozenset[Topic]]:
        """The answer and the topics that it depends on."""
        outer, self._read = self._read, set()
        try:
            answer = question()
            return answer, frozenset(self._read)
        finally:
            self._read = outer

    def take_changed(self) -> set[Topic]:
        """The topics that changed since the last call."""
        taken, self.changed = self.changed, set()
        return taken

    def _note(self, *topic: str) -> None:
        if self._read is not None:
            self._read.add(topic)
