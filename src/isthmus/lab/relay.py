"""A bad network between clusters: packets of chosen pairs pass through here, late, seldom or never.

Kernels differ in what they can do to packets (many lack netem), so this asks of them only a TUN device. Nodes of a
chosen pair send each other's packets to the lab's own network namespace, whose routes lead them into the device; what
is written back into it goes on to the other node.
"""

import asyncio
import fcntl
import heapq
import os
import random
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final

from isthmus.lab.config import LabError
from isthmus.lab.faults import UPLINK, Wan, pair
from isthmus.lab.node.commands import run
from isthmus.lab.topology import WAN_BRIDGE, WAN_GATEWAY, Cluster

DEVICE: Final = "/dev/net/tun"
NAME: Final = "distance"
TABLE: Final = "30"
QUEUE_SECONDS: Final = 0.2
"""How long a packet may wait for its turn where the rate is limited; the next one is dropped."""
IN_FLIGHT_MOST: Final = 50_000
LARGEST_PACKET: Final = 65_535
AT_ONCE: Final = 64
"""Packets handled before other things have their turn."""

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_NO_PI: Final = 0x1001
_ADDRESSES: Final = slice(12, 20)
"""Source and destination in an IPv4 header."""


@dataclass(slots=True)
class Direction:
    """One way between two clusters: when it is free for the next packet, and when the last one arrives."""

    wan: Wan
    free_at: float = 0.0
    last_at: float = 0.0

    def arrival(self, now: float, size: int, chance: Callable[[], float]) -> float | None:
        """When a packet that is sent now arrives; None when it is lost. Packets do not overtake each other."""
        wan = self.wan
        if wan.partition or (wan.loss and chance() < wan.loss):
            return None
        sent = now
        if wan.rate:
            if self.free_at - now > QUEUE_SECONDS:
                return None
            sent = self.free_at = max(now, self.free_at) + size * 8 / wan.rate
        arrives = sent + max(0.0, wan.delay + wan.jitter * (2 * chance() - 1))
        self.last_at = max(self.last_at, arrives)
        return self.last_at


def home(address: IPv4Address, clusters: Iterable[Cluster]) -> str:
    """The cluster that an address belongs to, or ""."""
    for cluster in clusters:
        if any(address in network for network in (*cluster.networks, cluster.pod_network)):
            return cluster.name
    return ""


def routes(cluster: Cluster, clusters: Sequence[Cluster], wan: Iterable[Wan]) -> list[str]:
    """`ip -batch` lines for a cluster's machines: through here to clusters that are far, directly to the others."""
    far = {pair(*one.between) for one in wan}
    lines = []
    for other in clusters:
        if other == cluster:
            continue
        away = pair(cluster.name, other.name) in far
        how = f"via {WAN_GATEWAY}" if away else f"dev {UPLINK}"
        lines += [f"route replace {network} {how}" for network in other.networks]
        for node in other.nodes if cluster.flat else ():
            lines.append(f"route replace {node.pod_network} via {WAN_GATEWAY if away else node.ip}")
    return lines


@dataclass(slots=True)
class Relay:
    """The device and what is under way. To be made and used in the lab's network namespace, in an event loop."""

    clusters: Sequence[Cluster]
    _device: int = -1
    _wan: dict[frozenset[str], Wan] = field(default_factory=dict)
    _directions: dict[bytes, Direction | None] = field(default_factory=dict)
    _shared: dict[tuple[str, str], Direction] = field(default_factory=dict)
    _under_way: list[tuple[float, int, bytes]] = field(default_factory=list)
    _count: int = 0
    _timer: asyncio.TimerHandle | None = None

    async def apply(self, wan: Iterable[Wan]) -> None:
        """From now on these pairs of clusters are far from each other, and no others. Raises LabError."""
        wanted = {pair(*one.between): one for one in wan}
        if wanted and self._device < 0:
            await self._open()
        self._wan = wanted
        self._directions.clear()
        self._shared.clear()

    async def _open(self) -> None:
        try:
            device = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise LabError(
                f"A bad network needs {DEVICE}, which cannot be used here ({error.strerror}): `modprobe tun`, or "
                f"`chmod 666 {DEVICE}`, as root."
            ) from None
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", NAME.encode(), _IFF_TUN_NO_PI))
        lines = [f"link set {NAME} up", f"route add default dev {NAME} table {TABLE}"]
        lines += [f"rule add iif {WAN_BRIDGE} lookup {TABLE}"]
        flat = (node for cluster in self.clusters if cluster.flat for node in cluster.nodes)
        lines += [f"route add {node.pod_network} via {node.ip}" for node in flat]
        await run(["ip", "-batch", "-"], "".join(f"{line}\n" for line in lines))
        unfiltered = [f"net.ipv4.conf.{name}.rp_filter=0" for name in ("all", NAME, WAN_BRIDGE)]
        await run(["sysctl", "-qw", "net.ipv4.ip_forward=1", *unfiltered])
        self._device = device
        asyncio.get_running_loop().add_reader(device, self._read)

    def _read(self) -> None:
        now = asyncio.get_running_loop().time()
        for _ in range(AT_ONCE):
            try:
                packet = os.read(self._device, LARGEST_PACKET)
            except BlockingIOError:
                break
            direction = self._direction(packet[_ADDRESSES])
            arrives = direction.arrival(now, len(packet), random.random) if direction else now
            if arrives is not None and len(self._under_way) < IN_FLIGHT_MOST:
                self._count += 1
                heapq.heappush(self._under_way, (arrives, self._count, packet))
        self._deliver()

    def _direction(self, addresses: bytes) -> Direction | None:
        """The way that a packet with these addresses goes; None for one that only happens to come by."""
        if addresses not in self._directions:
            ends = (home(IPv4Address(addresses[:4]), self.clusters), home(IPv4Address(addresses[4:]), self.clusters))
            wan = self._wan.get(pair(*ends))
            self._directions[addresses] = self._shared.setdefault(ends, Direction(wan)) if wan else None
        return self._directions[addresses]

    def _deliver(self) -> None:
        """Let go of what has arrived, and come again for the next."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._under_way and self._under_way[0][0] <= now:
            packet = heapq.heappop(self._under_way)[2]
            try:
                os.write(self._device, packet)
            except OSError:
                continue  # lost, as on any network
        if self._timer:
            self._timer.cancel()
        self._timer = loop.call_at(self._under_way[0][0], self._deliver) if self._under_way else None
