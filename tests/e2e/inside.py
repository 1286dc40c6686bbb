"""The inside of a lab as its machine's owner sees it: sockets and processes of nodes and pods."""

import ctypes
import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.lab_fixture import Lab

from isthmus.lab.node.network import namespace_of
from isthmus.lab.topology import clusters

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
CONNECT_TIMEOUT = 5.0


def node_namespace(lab: Lab, cluster: str) -> Path:
    """A node's network namespace, as a file of this machine."""
    record = _record(lab)
    members = {member.name: member for member in clusters(tuple(record["clusters"]), lab.path)}
    return _namespaces(record) / members[cluster].control.namespace


def pod_namespace(lab: Lab, cluster: str, pod: dict[str, Any]) -> Path:
    """A pod's network namespace, as a file of this machine."""
    return _namespaces(_record(lab)) / namespace_of(cluster, pod["metadata"]["uid"])


def dial(namespace: Path, address: tuple[str, int]) -> socket.socket:
    """A TCP connection that starts in a network namespace."""
    connection = within(namespace, lambda: socket.create_connection(address, timeout=CONNECT_TIMEOUT))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def within(namespace: Path, make: Callable[[], T]) -> T:
    """What `make` returns when it runs in a network namespace; a socket it makes stays there."""
    made: list[T | BaseException] = []

    def run() -> None:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _LIBC.setns(descriptor, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"{namespace} cannot be entered")
            made.append(make())
        except BaseException as error:
            made.append(error)
        finally:
            os.close(descriptor)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(made[0], BaseException):
        raise made[0]
    return made[0]


def processes(lab: Lab, cluster: str, pod: dict[str, Any]) -> dict[int, str]:
    """Every process in a pod's network, by its number on this machine, with its command line."""
    wanted = pod_namespace(lab, cluster, pod).stat().st_ino
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and (folder / "ns/net").stat().st_ino == wanted:
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue  # it ended while we looked
    return found


def kill(numbers: list[int]) -> None:
    """`kill -9`."""
    for number in numbers:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it died with its parent


def _record(lab: Lab) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((lab.path / "lab.json").read_text())
    return record


def _namespaces(record: dict[str, Any]) -> Path:
    return Path(f"/proc/{record['pid']}/root/run/netns")
