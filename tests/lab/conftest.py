"""A stand-in for the kubelet: one container, whose programs are real processes on this machine."""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from isthmus.lab.node.streams import StreamError


@dataclass
class LocalProcess:
    """A child of this process, with pipes or on a terminal."""

    child: asyncio.subprocess.Process
    stdin: asyncio.StreamWriter | None
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader | None
    terminal: int = -1

    async def wait(self) -> int:
        while (code := self.child.returncode) is None:  # noqa: ASYNC110 - wait() would wait for its pipes, too
            await asyncio.sleep(0.01)
        return code if code >= 0 else 128 - code

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def kill(self) -> None:
        if self.child.returncode is None:
            self.sweep()

    def sweep(self) -> None:
        """End it with everything it has left behind."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)


@dataclass
class LocalContainers:
    """The pod `pod` in the namespace `default`, with the container `app`."""

    log: Path
    alive: bool = True
    started: list[LocalProcess] = field(default_factory=list)

    def _check(self, namespace: str, pod: str, container: str) -> None:
        if (namespace, pod) != ("default", "pod"):
            raise StreamError.not_found(f'pods "{pod}" not found')
        if container not in ("", "app"):
            raise StreamError.bad_request(f"container {container} is not valid for pod {pod}")

    async def exec(
        self, namespace: str, pod: str, container: str, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> LocalProcess:
        self._check(namespace, pod, container)
        try:
            process = await (self._terminal(command) if tty else self._pipes(command, stdin=stdin))
        except FileNotFoundError as error:
            raise StreamError.internal(f'exec: "{command[0]}": executable file not found in $PATH') from error
        self.started.append(process)
        return process

    async def attach(self, namespace: str, pod: str, container: str, *, tty: bool, stdin: bool) -> LocalProcess:
        return await self.exec(namespace, pod, container, ["cat"], tty=tty, stdin=stdin)

    def log_path(self, namespace: str, pod: str, container: str) -> Path:
        self._check(namespace, pod, container)
        return self.log

    def running(self, namespace: str, pod: str, container: str) -> bool:
        self._check(namespace, pod, container)
        return self.alive

    async def dial(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)

    async def _pipes(self, command: Sequence[str], *, stdin: bool) -> LocalProcess:
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=pipe if stdin else asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
        assert child.stdout is not None
        return LocalProcess(child, child.stdin, child.stdout, child.stderr)

    async def _terminal(self, command: Sequence[str]) -> LocalProcess:
        master, slave = pty.openpty()
        child = await asyncio.create_subprocess_exec(
            *command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(master, "rb", 0))
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(os.dup(master), "wb", 0)
        )
        return LocalProcess(child, asyncio.StreamWriter(transport, protocol, None, loop), reader, None, master)


@pytest.fixture
async def containers(tmp_path: Path) -> AsyncIterator[LocalContainers]:
    local = LocalContainers(tmp_path / "app.log")
    yield local
    for process in local.started:
        process.sweep()
        await process.wait()
        with contextlib.suppress(OSError):
            await process.stdout.read()
