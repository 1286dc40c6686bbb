"""Programs in containers: how one is started, entered, signalled and waited for.

The chain of a container is `setpriv`, `nsenter` and `unshare` (waiting) and the container's first process. Every link
dies with the one before it, so that killing the node kills every container. The shell script between `unshare` and the
program mounts what the container sees. Its messages go to the container's stderr, up to a line that says it is done:
from inside the new root, because whoever enters the container before would see this machine's.
"""

import asyncio
import os
import pty
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from isthmus.lab.node.network import NAMESPACES
from isthmus.lab.node.terminal import Terminal, controlling

SETUP_TIMEOUT: Final = 20.0
READY_LINE: Final = "--- isthmus: container ready ---"


def _tool(name: str) -> str:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin") or f"/usr/bin/{name}"


_SETUP: Final = f"""\
read -r pid _ < /proc/self/stat
echo "$pid" >&2
{_tool("mount")} -a -T "$2" || exit 125
{_tool("hostname")} "$3"
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
root=$1 folder=$4
shift 4
exec {_tool("unshare")} --root="$root" --wd="$folder" /bin/sh -c 'echo "{READY_LINE}" >&2; exec "$@"' start "$@"
"""


_CONTROLLING: Final = ("/usr/bin/setsid", "--ctty")
"""Inside the new process namespace, so that a shell can tell its own process group."""


class StartError(Exception):
    """The container could not be made; the text is for a person."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything a new container's first process depends on."""

    netns: str
    hostname: str
    root: Path
    mounts: Path
    """The file with the table of mounts."""
    working_dir: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    privileges: tuple[str, ...]
    stdin: bool = False
    tty: bool = False


class Process:
    """A running program whose streams are pipes or a terminal. `pid` is the program's own, in the node's view."""

    def __init__(self, outer: asyncio.subprocess.Process, terminal: Terminal | None) -> None:
        self._outer = outer
        self._terminal = terminal
        self.pid = 0

    @property
    def stdin(self) -> asyncio.StreamWriter | None:
        return self._terminal.writer if self._terminal else self._outer.stdin

    @property
    def stdout(self) -> asyncio.StreamReader:
        if self._terminal:
            return self._terminal.reader
        assert self._outer.stdout is not None
        return self._outer.stdout

    @property
    def stderr(self) -> asyncio.StreamReader | None:
        return None if self._terminal else self._outer.stderr

    async def wait(self) -> int:
        """The exit code, 128 + signal number for a program that was killed."""
        code = await self._outer.wait()
        return code if code >= 0 else 128 - code

    def resize(self, width: int, height: int) -> None:
        if self._terminal:
            self._terminal.resize(width, height)

    def signal(self, number: signal.Signals) -> None:
        """Signal the program itself; nothing if it has ended."""
        if self.pid and self._outer.returncode is None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def kill(self) -> None:
        """End it now, and everything in the container if this is its first process."""
        if self._outer.returncode is None:
            self._outer.kill()

    def close(self) -> None:
        """Let go of the terminal, if there is one. For when nobody reads any more."""
        if self._terminal:
            self._terminal.close()


async def start(launch: Launch) -> Process:
    """Start a container; returns when its first process is about to become the program. Raises StartError."""
    inner = [*(_CONTROLLING if launch.tty else ()), *launch.privileges, *launch.command]
    argv = [
        *(_tool("setpriv"), "--pdeathsig", "KILL"),
        *(_tool("nsenter"), f"--net={NAMESPACES}/{launch.netns}"),
        *(_tool("unshare"), "--mount", "--pid", "--uts", "--fork", "--kill-child"),
        *("/bin/sh", "-c", _SETUP, "setup"),
        *(str(launch.root), str(launch.mounts), launch.hostname, launch.working_dir),
        *inner,
    ]
    process = await _spawn(argv, launch.environment, pty.openpty() if launch.tty else None, stdin=launch.stdin)
    try:
        async with asyncio.timeout(SETUP_TIMEOUT):
            await _await_setup(process)
    except TimeoutError:
        process.kill()
        raise StartError(f"the container was not ready to start within {SETUP_TIMEOUT:.0f} s") from None
    except BaseException:
        process.kill()
        raise
    return process


async def _await_setup(process: Process) -> None:
    stream = process.stderr or process.stdout
    said: list[str] = []
    while line := (await stream.readline()).decode(errors="replace"):
        text = line.strip()
        if text == READY_LINE:
            return
        if not process.pid and text.isdigit():
            process.pid = int(text)
        else:
            said.append(text)
    code = await process.wait()
    raise StartError(" ".join(said) or f"the container could not be set up (exit code {code})")


async def enter(
    pid: int,
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    privileges: Sequence[str],
    tty: bool = False,
    stdin: bool = False,
) -> Process:
    """Start another program in the container whose first process is `pid`."""
    argv = [
        *(_tool("setpriv"), "--pdeathsig", "KILL"),
        *(_tool("nsenter"), "-t", str(pid), "--mount", "--net", "--pid", "--uts", "--root", "--wd"),
        *(_CONTROLLING if tty else ()),
        *privileges,
        *command,
    ]
    return await _spawn(argv, environment, controlling(pid) if tty else None, stdin=stdin)


async def _spawn(
    argv: Sequence[str], environment: Mapping[str, str], terminal: tuple[int, int] | None, *, stdin: bool
) -> Process:
    if terminal is None:
        pipe = asyncio.subprocess.PIPE
        outer = await asyncio.create_subprocess_exec(
            *argv,
            stdin=pipe if stdin else asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
        )
        return Process(outer, None)
    near, far = terminal
    try:
        outer = await asyncio.create_subprocess_exec(
            *argv, stdin=far, stdout=far, stderr=far, env={"TERM": "xterm", **environment}, cwd="/"
        )
    finally:
        os.close(far)
    return Process(outer, await Terminal.open(near))


async def run_inside(
    pid: int, command: Sequence[str], environment: Mapping[str, str], *, privileges: Sequence[str]
) -> tuple[int, str]:
    """Run a program in a container to its end: exit code and everything it printed."""
    process = await enter(pid, command, environment, privileges=privileges)
    assert process.stderr is not None
    try:
        out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
        return await process.wait(), (out + err).decode(errors="replace")
    finally:
        process.kill()
