"""What a kubelet offers to those who look into its containers, and how it refuses."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class StreamError(Exception):
    """A refusal that the user sees as a Kubernetes Status: HTTP code, machine-readable reason, one sentence."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message

    @classmethod
    def not_found(cls, message: str) -> "StreamError":
        """The pod or the container does not exist."""
        return cls(404, "NotFound", message)

    @classmethod
    def bad_request(cls, message: str) -> "StreamError":
        """It exists, but cannot do that now: not started, already ended, no terminal."""
        return cls(400, "BadRequest", message)

    @classmethod
    def internal(cls, message: str) -> "StreamError":
        """The node tried and failed: the program is not in the image, the port refuses connections."""
        return cls(500, "InternalError", message)


class ExecProcess(Protocol):
    """A program in a container with its streams. With a terminal there is no stderr: both arrive on stdout."""

    @property
    def stdin(self) -> asyncio.StreamWriter | None: ...

    @property
    def stdout(self) -> asyncio.StreamReader: ...

    @property
    def stderr(self) -> asyncio.StreamReader | None: ...

    async def wait(self) -> int:
        """The exit code, 128 + signal number for a program that was killed.

        As soon as the program itself has ended, even if a child of it still holds its pipes; mind that
        `asyncio.subprocess.Process.wait` waits for those too.
        """
        ...

    def resize(self, width: int, height: int) -> None:
        """The user's terminal has a new size. Without a terminal: nothing."""
        ...

    def kill(self) -> None:
        """Nobody reads or writes any more: ends an exec, only detaches an attach. Called last, and maybe before."""
        ...


class Containers(Protocol):
    """What the kubelet offers. Every method raises StreamError when it cannot."""

    async def exec(
        self, namespace: str, pod: str, container: str, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> ExecProcess:
        """Start a program in a running container. An empty `container` means the pod's default one."""
        ...

    async def attach(self, namespace: str, pod: str, container: str, *, tty: bool, stdin: bool) -> ExecProcess:
        """The container's own main process, from now on."""
        ...

    def log_path(self, namespace: str, pod: str, container: str) -> Path:
        """The file its output goes to: lines as they are, or with a time each (`logs.line`)."""
        ...

    def running(self, namespace: str, pod: str, container: str) -> bool:
        """Whether more output may come; following a log ends when it turns false."""
        ...

    async def dial(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TCP connection to localhost:port inside the pod's network namespace."""
        ...
