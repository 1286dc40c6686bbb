"""The network of a node: a bridge for its pods, one network namespace per pod, addresses from the pod CIDR.

A pod has its address as a /32 and reaches everything through the node. On a shared /16 the reply to a call that was
redirected from a service address would go straight to the other pod over the bridge and skip the way back.
"""

import asyncio
import ctypes
import os
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Final

from isthmus.lab.node.commands import CommandError, run

BRIDGE: Final = "cni0"
BRIDGE_MAC: Final = "0a:58:0a:f4:00:01"
"""A bridge without a MAC address of its own takes the lowest of its ports': it changes as pods come and go, and what
other pods send to the old one is lost until they ask again, up to half a minute later."""
UPLINK: Final = "eth0"
NAMESPACES: Final = "/run/netns"
DIAL_TIMEOUT: Final = 5.0
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET: Final = 0x40000000
_ROUTING: Final = (
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
    f"net.ipv4.conf.{UPLINK}.send_redirects=0",
)


def gateway_of(pod_cidr: str) -> IPv4Address:
    """The bridge's own address: the first of the pod CIDR."""
    return IPv4Network(pod_cidr)[1]


def namespace_of(cluster: str, uid: str) -> str:
    """The name of a pod's network namespace, unique over all clusters of a lab."""
    return f"{cluster}-{uid.replace('-', '')[:20]}"


def node_commands(netns: str, *, wan: str, address: IPv4Interface, pod_cidr: str) -> tuple[list[str], list[str]]:
    """`ip` batches that make a node: the first outside, the second inside its new network namespace."""
    link = uplink_of(netns)
    outside = [
        f"netns add {netns}",
        f"link add {link} type veth peer name {UPLINK} netns {netns}",
        f"link set {link} master {wan} up",
    ]
    inside = ["link set lo up", f"addr add {address} dev {UPLINK}", f"link set {UPLINK} up"]
    if pod_cidr:
        inside += [
            f"link add {BRIDGE} address {BRIDGE_MAC} type bridge",
            f"addr add {gateway_of(pod_cidr)}/{IPv4Network(pod_cidr).prefixlen} dev {BRIDGE}",
            f"link set {BRIDGE} up",
        ]
    return outside, inside


def uplink_of(netns: str) -> str:
    """The other end of a node's cable, as the lab's own network namespace knows it."""
    return _link("w", netns)


def pod_commands(netns: str, *, address: str, gateway: str) -> tuple[list[str], list[str]]:
    """`ip` batches that connect a pod: the first on the node, the second inside the pod's network namespace."""
    link = _link("v", netns)
    outside = [
        f"netns add {netns}",
        f"link add {link} type veth peer name {UPLINK} netns {netns}",
        f"link set {link} master {BRIDGE} up",
    ]
    inside = [
        "link set lo up",
        f"addr add {address}/32 dev {UPLINK}",
        f"link set {UPLINK} up",
        f"route add {gateway} dev {UPLINK}",
        f"route add default via {gateway}",
    ]
    return outside, inside


async def setup_node(netns: str, *, wan: str, address: IPv4Interface, pod_cidr: str) -> None:
    """Make a node's network namespace: `eth0` on the bridge `wan`, bridge `cni0` for the pods, forwarding on.

    Without a `pod_cidr` it has no pods.
    """
    outside, inside = node_commands(netns, wan=wan, address=address, pod_cidr=pod_cidr)
    await _batch(outside)
    await _batch(inside, netns)
    bridged = [f"net.ipv4.conf.{BRIDGE}.send_redirects=0"] if pod_cidr else []
    await run(["ip", "netns", "exec", netns, "sysctl", "-qw", *_ROUTING, *bridged])


async def add_pod(netns: str, *, address: str, pod_cidr: str) -> None:
    """Make a pod's network namespace and connect it. To be called in the node's network namespace."""
    outside, inside = pod_commands(netns, address=address, gateway=str(gateway_of(pod_cidr)))
    await _batch(outside)
    await _batch(inside, netns)


async def remove_pod(netns: str) -> None:
    """Undo `add_pod`, also when it did not come far.

    The veth pair goes with the namespace, but later, and not before the last process in there has ended.
    """
    with suppress(CommandError):
        await run(["ip", "link", "del", _link("v", netns)])
    if netns in os.listdir(NAMESPACES):
        await run(["ip", "netns", "del", netns])


async def _batch(lines: Iterable[str], netns: str = "") -> None:
    where = ["-n", netns] if netns else []
    await run(["ip", *where, "-batch", "-"], "\n".join(lines) + "\n")


def _link(letter: str, netns: str) -> str:
    return letter + netns.replace("-", "")[-14:]


class AddressPool:
    """Pod addresses of one node. A released address comes back only after all others: others may remember it."""

    def __init__(self, pod_cidr: str) -> None:
        self._network = IPv4Network(pod_cidr)
        self._taken: set[int] = set()
        self._next = 2

    def allocate(self) -> str:
        last = self._network.num_addresses - 2
        for _ in range(last):
            candidate = self._next
            self._next = 2 if candidate >= last else candidate + 1
            if candidate not in self._taken:
                self._taken.add(candidate)
                return str(self._network[candidate])
        raise RuntimeError(f"all addresses of {self._network} are in use: delete some pods")

    def release(self, address: str) -> None:
        self._taken.discard(int(IPv4Address(address)) - int(self._network.network_address))


async def dial(netns: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TCP connection to localhost:`port` inside a pod. Raises OSError."""
    connection = await asyncio.to_thread(_connect_inside, netns, port)
    connection.setblocking(False)
    return await asyncio.open_connection(sock=connection)


def _connect_inside(netns: str, port: int) -> socket.socket:
    """A socket belongs to the namespace it was made in: only its making must happen there, in a thread of its own."""
    made: list[socket.socket | OSError] = []

    def make() -> None:
        try:
            join(Path(NAMESPACES, netns))
            made.append(socket.create_connection(("127.0.0.1", port), timeout=DIAL_TIMEOUT))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def join(namespace: Path) -> None:
    """Have this thread be in a network namespace from now on. Raises OSError."""
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.setns(descriptor, _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
