"""Short-lived system programs (ip, sysctl): run, wait, and say what went wrong."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

TIMEOUT: Final = 20.0


class CommandError(Exception):
    """A system program failed; the text names it and what it printed."""


def wait_without_threads() -> None:
    """Have this process wait for its children by their descriptors: before Python 3.12 each would take a thread."""
    if sys.version_info < (3, 12):
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())


async def run(argv: Sequence[str], stdin: str = "", *, timeout: float = TIMEOUT) -> str:
    """Run a program to its end and return what it printed; raises CommandError when it fails or takes too long."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout):
            out, err = await process.communicate(stdin.encode())
    except TimeoutError:
        raise CommandError(f"`{' '.join(argv)}` did not end within {timeout:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = (err or out).decode(errors="replace").strip()
        raise CommandError(f"`{' '.join(argv)}` failed: {said or f'exit code {process.returncode}'}")
    return out.decode(errors="replace")
