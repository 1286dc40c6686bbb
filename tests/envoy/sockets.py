"""The TCP connections that another process has open, with the options that it gave them."""

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

LIBC = ctypes.CDLL(None, use_errno=True)
PIDFD_GETFD = 438
"""The number of the system call, for which Python has no name."""


@contextmanager
def connections(process: int, *, port: int) -> Iterator[list[socket.socket]]:
    """Copies of a process's connections to a port."""
    folder = f"/proc/{process}/fd"
    numbers = [int(name) for name in os.listdir(folder) if os.readlink(f"{folder}/{name}").startswith("socket:")]
    with ExitStack() as stack:
        handle = os.pidfd_open(process)
        stack.callback(os.close, handle)
        copies = [stack.enter_context(_copy(handle, number)) for number in numbers]
        yield [each for each in copies if _peer_port(each) == port]


def _copy(handle: int, number: int) -> socket.socket:
    copy = LIBC.syscall(PIDFD_GETFD, handle, number, 0)
    if copy < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return socket.socket(fileno=copy)


def _peer_port(each: socket.socket) -> int | None:
    if each.family != socket.AF_INET:
        return None
    try:
        return int(each.getpeername()[1])
    except OSError:
        return None
