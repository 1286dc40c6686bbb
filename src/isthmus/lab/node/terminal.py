"""Pseudo-terminals with asyncio streams on their near end."""

import asyncio
import fcntl
import os
import struct
import termios
from typing import Final, Self

_UNLOCK: Final = 0x40045431  # TIOCSPTLCK
_OPEN_PEER: Final = 0x5441  # TIOCGPTPEER
_BUFFER: Final = 2**16


def controlling(pid: int) -> tuple[int, int]:
    """A new terminal (near end, far end) of the container that process `pid` lives in, so that it has a name there."""
    near = os.open(f"/proc/{pid}/root/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(near, _UNLOCK, struct.pack("i", 0))
        far = fcntl.ioctl(near, _OPEN_PEER, os.O_RDWR | os.O_NOCTTY)
    except OSError:
        os.close(near)
        raise
    os.set_inheritable(far, False)
    return near, far


class _Reading(asyncio.StreamReaderProtocol):
    """A terminal whose far end is closed answers EIO, which is its way to say end of file."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(None if isinstance(exc, OSError) else exc)


class Terminal:
    """The near end of a terminal. It ends when the last program at the far end is gone."""

    def __init__(self, near: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._near = near
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, near: int) -> Self:
        """Take over the near end."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_BUFFER)
        source = os.fdopen(os.dup(near), "rb", buffering=0)
        await loop.connect_read_pipe(lambda: _Reading(reader), source)
        sink = os.fdopen(near, "wb", buffering=0)
        transport, protocol = await loop.connect_write_pipe(lambda: _Reading(asyncio.StreamReader()), sink)
        return cls(near, reader, asyncio.StreamWriter(transport, protocol, None, loop))

    def resize(self, width: int, height: int) -> None:
        if not self.writer.is_closing():
            fcntl.ioctl(self._near, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def close(self) -> None:
        self.writer.close()
