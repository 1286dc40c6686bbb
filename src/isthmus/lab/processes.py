"""Processes as the kernel shows them: is the lab's holder alive, which are its processes, end them all."""

import contextlib
import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_START_TIME_FIELD: Final = 19
"""Of /proc/<pid>/stat after the command's closing parenthesis: field 22 of proc(5)."""


@dataclass(frozen=True, slots=True)
class Inside:
    """A process of a lab: its pid here, and its pid in there."""

    pid: int
    inner_pid: int
    command: str


def start_time(pid: int) -> int:
    """When the kernel started a process, in ticks since boot; 0 when it is gone."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[_START_TIME_FIELD])


def alive(pid: int, started: int) -> bool:
    """Whether this very process still runs: not another one with its number, not a zombie."""
    if not pid or start_time(pid) != started:
        return False
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def only_child(pid: int) -> int:
    """The child of a process that has one; 0 when it has none yet."""
    with contextlib.suppress(OSError):
        found = (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()
        return int(found[0]) if found else 0
    return 0


def inside(pid: int) -> list[Inside]:
    """Every process in the pid namespace of `pid`, in order of age in there."""
    namespace = _namespace(pid)
    found = []
    for entry in PROC.iterdir() if namespace else ():
        if entry.name.isdigit() and _namespace(int(entry.name)) == namespace:
            with contextlib.suppress(OSError, IndexError, ValueError):
                inner = _inner_pid(entry)
                found.append(Inside(int(entry.name), inner, (entry / "cmdline").read_text().replace("\0", " ").strip()))
    return sorted(found, key=lambda process: process.inner_pid)


def end(pid: int, *, timeout: float) -> bool:
    """Kill a process and wait until it is gone; for pid 1 of a namespace that includes everything in it."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        return bool(select.select([handle], [], [], timeout)[0])
    except ProcessLookupError:
        return True
    finally:
        os.close(handle)


def _namespace(pid: int) -> str:
    try:
        return os.readlink(PROC / str(pid) / "ns" / "pid")
    except OSError:
        return ""


def _inner_pid(entry: Path) -> int:
    for line in (entry / "status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return 0
