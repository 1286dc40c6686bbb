"""Container logs: what the kubelet writes and what `kubectl logs` reads.

A log file holds lines as the program wrote them, or, when the kubelet writes them itself, each with a time in front as
container runtimes do it: `2026-11-23T03:34:12.123456789Z stdout F text`. Readers tell the two apart line by line.
"""

import asyncio
import datetime
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

POLL: Final = 0.1
_BLOCK: Final = 64 * 1024
_TIMED: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z) (?:stdout|stderr) [FP] ")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What part of a log is wanted, and how it is shown."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since: str = ""
    """RFC 3339 in UTC; earlier lines are left out. Lines without a time count as old as the file's last change."""
    limit_bytes: int | None = None

    @classmethod
    def parse(cls, query: Mapping[str, str], *, now: float) -> "Options":
        """From the query of a log request; ValueError names the parameter that makes no sense."""
        since = query.get("sinceTime", "")
        if seconds := _count(query, "sinceSeconds"):
            since = timestamp(now - seconds)
        return cls(
            follow=query.get("follow") in ("true", "1"),
            timestamps=query.get("timestamps") in ("true", "1"),
            tail_lines=_count(query, "tailLines"),
            since=since,
            limit_bytes=_count(query, "limitBytes"),
        )


def line(stream: str, text: bytes, moment: float) -> bytes:
    """One line of output as the kubelet stores it. `stream` is `stdout` or `stderr`."""
    return b"%s %s F %s\n" % (timestamp(moment).encode(), stream.encode(), text.rstrip(b"\n"))


def timestamp(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def read(path: Path, options: Options, *, running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log in pieces; with `follow`, until the container has ended and everything it wrote was read."""
    left = options.limit_bytes
    async for piece in _lines(path, options, running):
        if left is not None and len(piece) >= left:
            yield piece[:left]
            return
        yield piece
        left = left - len(piece) if left is not None else None


async def _lines(path: Path, options: Options, running: Callable[[], bool]) -> AsyncIterator[bytes]:
    while (file := _open(path)) is None:
        if not options.follow or not running():
            return
        await asyncio.sleep(POLL)
    try:
        if options.tail_lines is not None:
            file.seek(_start_of_last_lines(file, options.tail_lines))
        rest = b""
        while True:
            # Asked before reading: what a container wrote until it ended must still be read.
            more = options.follow and running()
            for block in _blocks(file):
                *whole, rest = (rest + block).split(b"\n")
                if piece := _shown([text + b"\n" for text in whole], file, options):
                    yield piece
            if not more:
                break
            await asyncio.sleep(POLL)
        if rest:
            yield _shown([rest], file, options)
    finally:
        file.close()


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _shown(lines: list[bytes], file: BinaryIO, options: Options) -> bytes:
    if not lines:
        return b""
    changed = timestamp(os.fstat(file.fileno()).st_mtime).encode() if options.timestamps or options.since else b""
    return b"".join(_shown_line(text, changed, options) for text in lines)


def _shown_line(text: bytes, changed: bytes, options: Options) -> bytes:
    timed = _TIMED.match(text)
    moment = timed[1] if timed else changed
    if options.since and moment < options.since.encode():
        return b""
    text = text[timed.end() :] if timed else text
    return moment + b" " + text if options.timestamps else text


def _start_of_last_lines(file: BinaryIO, count: int) -> int:
    """Where the last `count` lines begin, found from the end: logs are long and tails are short."""
    end = position = file.seek(0, os.SEEK_END)
    if count == 0:
        return end
    # A newline at the very end closes the last line; it does not begin another.
    wanted = count + 1 if _last_byte(file, end) == b"\n" else count
    while position:
        size = min(_BLOCK, position)
        position -= size
        file.seek(position)
        block = file.read(size)
        found = block.count(b"\n")
        if found >= wanted:
            return position + _nth_from_end(block, wanted) + 1
        wanted -= found
    return 0


def _last_byte(file: BinaryIO, end: int) -> bytes:
    file.seek(max(end - 1, 0))
    return file.read(1)


def _nth_from_end(block: bytes, count: int) -> int:
    index = len(block)
    for _ in range(count):
        index = block.rindex(b"\n", 0, index)
    return index


def _count(query: Mapping[str, str], name: str) -> int | None:
    if not (text := query.get(name, "")):
        return None
    if not text.isdecimal():
        raise ValueError(f"{name} must be a number that is not negative, not {text!r}")
    return int(text)
