"""Load-balancer addresses of a node: it answers for those that the cluster's controllers gave it.

An address is on one node at a time. Who had it before may be dead and cannot say so: the new one tells all neighbours.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Iterable
from typing import Final

from isthmus.lab.client import Object
from isthmus.lab.node.commands import CommandError, run
from isthmus.lab.node.network import UPLINK
from isthmus.lab.watch import Watch

log = logging.getLogger(__name__)

ANSWERED_BY: Final = "lab.isthmus.io/answered-by"
"""On a Service: `ADDRESS@NODE`."""
TELLINGS: Final = 3
PAUSE: Final = 1.0
"""Neighbours believe nobody who contradicts what they heard within a second."""
_ARP: Final = 0x0806
_ETHERNET_REQUEST: Final = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)


def given(services: Iterable[Object], node: str) -> set[str]:
    """The addresses that a node answers for."""
    pairs = ((one["metadata"].get("annotations") or {}).get(ANSWERED_BY, "").split("@") for one in services)
    return {pair[0] for pair in pairs if pair[-1] == node}


async def answer(services: Watch, node: str) -> None:
    """Have the node's addresses on its uplink, and no others, until cancelled."""
    await services.synced.wait()
    changed = asyncio.Event()
    services.subscribe(lambda _: changed.set())
    held = await _held()
    untold: dict[str, int] = {}
    while True:
        wanted = given(services, node)
        try:
            for address in held - wanted:
                await run(["ip", "address", "del", f"{address}/32", "dev", UPLINK])
                held.discard(address)
            for address in wanted - held:
                await run(["ip", "address", "replace", f"{address}/32", "dev", UPLINK])
                held.add(address)
                untold[address] = TELLINGS
        except CommandError as error:
            log.warning("a load-balancer address: %s", error)
            held = await _held()
            untold.setdefault("", 1)
        untold = {address: times - 1 for address, times in untold.items() if times and _tell(address, held)}
        try:
            async with asyncio.timeout(PAUSE if untold else None):
                await changed.wait()
        except TimeoutError:
            continue
        changed.clear()


async def _held() -> set[str]:
    """What a former process of this node has left."""
    lines = (await run(["ip", "-4", "-o", "address", "show", "dev", UPLINK])).splitlines()
    found = (line.split()[3] for line in lines)
    return {address.removesuffix("/32") for address in found if address.endswith("/32")}


def _tell(address: str, held: set[str]) -> bool:
    """Tell all neighbours who has an address now; whether to tell them again."""
    if address not in held:
        return not address
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP)) as wire:
        wire.bind((UPLINK, 0))
        hardware: bytes = wire.getsockname()[4]
        wire.send(_gratuitous(hardware, socket.inet_aton(address)))
    return True


def _gratuitous(hardware: bytes, address: bytes) -> bytes:
    """An ARP request for one's own address, to everybody."""
    frame = b"\xff" * 6 + hardware + struct.pack("!H", _ARP)
    return frame + _ETHERNET_REQUEST + hardware + address + bytes(6) + address
