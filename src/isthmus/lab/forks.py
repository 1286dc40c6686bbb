"""The servers of all clusters, forked off the daemon: what each of them imports is in memory once.

A server that ends is forked anew, so it shares as much as the first one did. The daemon's event loop runs meanwhile:
the child leaves it alone, keeps none of its descriptors and never returns into it.
"""

import contextlib
import gc
import importlib
import importlib.util
import logging
import os
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from isthmus.lab.node.network import join

SHARED: Final = (
    "isthmus.lab.api.__main__",
    "isthmus.lab.node.__main__",
    "isthmus.lab.api.models",
    *(f"lightkube.models.{name}_v1" for name in ("core", "apps", "rbac", "discovery", "coordination", "apiextensions")),
)
"""What servers import as they start, or with the first objects that every cluster has."""
_AUTHORITIES: Final = "SSL_CERT_FILE"
"""aiohttp reads all authorities of this machine as it is imported; servers of the lab trust none of them."""
_HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_ARGV_BOUNDS: Final = slice(45, 47)
"""Of /proc/<pid>/stat after the command's closing parenthesis: fields 48 and 49 of proc(5)."""


@dataclass(frozen=True, slots=True)
class Server:
    """A package with a `main` in its `__main__`, and where that runs."""

    package: str
    arguments: tuple[str, ...]
    title: str
    """What `ps` shows after the package's name."""
    network: Path
    log: Path
    listen_fd: int | None = None


def prepare() -> None:
    """Import what servers need. Frozen objects are never looked through for garbage, which would write to each."""
    _leave_out_client()
    authorities = os.environ.get(_AUTHORITIES)
    os.environ[_AUTHORITIES] = os.devnull
    for name in SHARED:
        importlib.import_module(name)
    del os.environ[_AUTHORITIES]
    os.environ |= {_AUTHORITIES: authorities} if authorities is not None else {}
    gc.collect()
    gc.freeze()


def _leave_out_client() -> None:
    """Have lightkube's models without the package around them, whose HTTP client nobody here uses."""
    spec = importlib.util.find_spec("lightkube")
    if spec is not None:
        sys.modules.setdefault("lightkube", importlib.util.module_from_spec(spec))


def fork(server: Server) -> int:
    """Start a server as a child of this process; its pid."""
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal that the child got before it lets go of the daemon's handlers would be taken for the daemon's.
    former = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
        return pid
    code = 1
    try:
        _forget_the_parent()
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
        code = _run(server)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _forget_the_parent() -> None:
    signal.set_wakeup_fd(-1)
    for number in _HANDLED:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.getLogger().handlers.clear()


def _run(server: Server) -> int:
    """The server itself, until it ends; its exit code."""
    os.setsid()
    _redirect(server.log)
    _close_all_but(server.listen_fd)
    join(server.network)
    _show_as(f"{server.package} {server.title}")
    sys.argv = [server.package, *server.arguments]
    try:
        importlib.import_module(f"{server.package}.__main__").main()
    except SystemExit as error:
        if isinstance(error.code, int | None):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    return 0


def _redirect(log: Path) -> None:
    """Nothing to read, and everything that is said into the log."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _close_all_but(kept: int | None) -> None:
    """Close what is the daemon's, among it the event loop's: closing is all that the daemon does not notice."""
    most = os.sysconf("SC_OPEN_MAX")
    for first, end in [(3, most)] if kept is None else [(3, kept), (kept + 1, most)]:
        os.closerange(first, end)


def _show_as(title: str) -> None:
    """Have `ps` tell servers apart: their command line is the daemon's, at most as long as that was."""
    with contextlib.suppress(OSError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = map(int, fields[_ARGV_BOUNDS])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            memory.write(title.encode()[: end - start - 1].ljust(end - start, b"\0"))
