"""Programs on a terminal, typed to as a person types."""

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

PROMPT = re.compile(r"(?:^|[\r\n])[^\r\n]{0,60}[#$] $")
"""A shell that waits for a line."""
ANSWER_TIMEOUT = 30.0


@dataclass
class Terminal:
    """A program on a terminal of its own, as a person has it."""

    process: "subprocess.Popen[bytes]"
    near: int
    seen: str = ""

    @classmethod
    def opened(cls, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> "Terminal":
        near, far = pty.openpty()
        process = subprocess.Popen(
            words,
            cwd=folder,
            env={**environment, "TERM": "dumb"},
            stdin=far,
            stdout=far,
            stderr=far,
            start_new_session=True,
        )
        os.close(far)
        return cls(process, near)

    def type(self, text: str) -> None:
        os.write(self.near, text.encode())

    def read_until(self, wanted: re.Pattern[str]) -> str:
        """What appeared since the last time, up to and with what is waited for."""
        deadline = time.monotonic() + ANSWER_TIMEOUT
        while not (found := wanted.search(self.seen)):
            ready, _, _ = select.select([self.near], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                pytest.fail(f"after {ANSWER_TIMEOUT:.0f} s the terminal shows no {wanted.pattern!r}:\n{self.seen}")
            self.seen += os.read(self.near, 65536).decode(errors="replace")
        text, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return text

    def ended(self) -> None:
        self.process.wait(timeout=ANSWER_TIMEOUT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.near)
