"""What a container prints: kept in its log file, line by line with the time, and passed on to whoever is attached."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from isthmus.lab.node import logs
from isthmus.lab.node.processes import Process

_CHUNK: Final = 65536
LONGEST_LINE: Final = 16384
"""A longer line is stored in parts, as container runtimes do."""
REPLAYED: Final = 65536
BEHIND: Final = 1 << 20
"""An attached user who does not read loses what comes after so many bytes."""


class _Ear(asyncio.StreamReader):
    """A copy of a stream for one attached user, of bounded size."""

    def __init__(self) -> None:
        super().__init__(limit=BEHIND)
        self._unread = 0

    def hear(self, data: bytes) -> None:
        if self._unread < BEHIND:
            self._unread += len(data)
            self.feed_data(data)

    async def read(self, n: int = -1) -> bytes:
        data = await super().read(n)
        self._unread -= len(data)
        return data


class Attachment:
    """One user attached to a container's main process: its streams from now on, not its life."""

    def __init__(self, process: Process, *, stdin: bool, leave: Callable[["Attachment"], None]) -> None:
        self._process = process
        self._leave = leave
        self.stdin = process.stdin if stdin else None
        self.stdout: asyncio.StreamReader = _Ear()
        self.stderr: asyncio.StreamReader | None = _Ear() if process.stderr is not None else None

    def hear(self, stream: str, data: bytes) -> None:
        ear = self.stderr if stream == "stderr" else self.stdout
        if isinstance(ear, _Ear):
            ear.hear(data)

    def end(self) -> None:
        self.stdout.feed_eof()
        if self.stderr is not None:
            self.stderr.feed_eof()

    async def wait(self) -> int:
        """Zero: attaching went well, however the container's process ended (as Kubernetes tells it)."""
        await self._process.wait()
        return 0

    def resize(self, width: int, height: int) -> None:
        self._process.resize(width, height)

    def kill(self) -> None:
        self._leave(self)


class Output:
    """The streams of one life of a container. With `replay`, the first to attach also sees what came before."""

    def __init__(self, process: Process, path: Path, *, replay: bool = False) -> None:
        self._process = process
        self._path = path
        self._attached: list[Attachment] = []
        self._before: bytearray | None = bytearray() if replay else None

    def attach(self, *, stdin: bool) -> Attachment:
        attachment = Attachment(self._process, stdin=stdin, leave=self._leave)
        if self._before:
            attachment.hear("stdout", bytes(self._before))
        self._before = None
        self._attached.append(attachment)
        return attachment

    async def run(self) -> None:
        """Until both streams have ended."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab", buffering=0) as file:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow("stdout", self._process.stdout, file))
                if self._process.stderr is not None:
                    group.create_task(self._follow("stderr", self._process.stderr, file))
        for attachment in self._attached:
            attachment.end()

    def _leave(self, attachment: Attachment) -> None:
        if attachment in self._attached:
            self._attached.remove(attachment)
            attachment.end()

    async def _follow(self, name: str, stream: asyncio.StreamReader, file: BinaryIO) -> None:
        rest = b""
        while data := await stream.read(_CHUNK):
            for attachment in self._attached:
                attachment.hear(name, data)
            if self._before is not None:
                self._before += data
                del self._before[:-REPLAYED]
            *whole, rest = (rest + data).split(b"\n")
            if len(rest) > LONGEST_LINE:
                whole.append(rest)
                rest = b""
            if whole:
                moment = time.time()
                file.write(b"".join(logs.line(name, text, moment) for text in whole))
        if rest:
            file.write(logs.line(name, rest, time.time()))
