"""The cluster's DNS server."""

import asyncio
import logging
import struct
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Final, cast

from isthmus.lab.caches import Caches
from isthmus.lab.client import ENDPOINT_SLICES, NAMESPACES, SERVICES, Object
from isthmus.lab.node.dnswire import Authority, Resolve, answer
from isthmus.lab.node.zone import Zone
from isthmus.lab.topology import DNS_VIP
from isthmus.lab.watch import Index
from isthmus.names import SERVICE_NAME_LABEL

log = logging.getLogger(__name__)

WATCHED: Final = (SERVICES, ENDPOINT_SLICES, NAMESPACES)
PORT: Final = 53
IDLE_SECONDS: Final = 30.0


async def run(caches: Caches, *, cluster_domain: str, address: str = DNS_VIP, port: int = PORT) -> None:
    """Answer on `address`:53, UDP and TCP, until cancelled. The address must be on an interface already."""
    services, slices, namespaces = (caches[resource] for resource in WATCHED)
    by_service = Index(slices, _service_of)
    zone = Zone(
        domain=cluster_domain,
        service=lambda namespace, name: services.get(name, namespace),
        slices=lambda namespace, name: by_service[f"{namespace}/{name}"],
        has_namespace=lambda name: namespaces.get(name) is not None,
    )
    await caches.synced(*WATCHED)
    await serve(zone, address=address, port=port)


async def serve(zone: Zone, *, address: str, port: int) -> None:
    """Answer from a zone until cancelled."""
    authority = Authority(zone.domain)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        partial(_Datagrams, zone.resolve, authority), local_addr=(address, port)
    )
    try:
        server = await asyncio.start_server(partial(_converse, zone.resolve, authority), address, port)
        async with server:
            await server.serve_forever()
    finally:
        transport.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, resolve: Resolve, authority: Authority) -> None:
        self._resolve = resolve
        self._authority = authority
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = answer(data, self._resolve, self._authority, datagram=True)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)


async def _converse(
    resolve: Resolve, authority: Authority, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One TCP client: messages, each after its length, until it leaves or falls silent."""
    try:
        with suppress(TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            while True:
                async with asyncio.timeout(IDLE_SECONDS):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    message = await reader.readexactly(length)
                    reply = answer(message, resolve, authority, datagram=False)
                    if reply is None:
                        return
                    writer.write(struct.pack("!H", len(reply)) + reply)
                    await writer.drain()
    finally:
        writer.close()


def _service_of(item: Object) -> Iterable[str]:
    metadata = item["metadata"]
    owner = (metadata.get("labels") or {}).get(SERVICE_NAME_LABEL)
    return (f"{metadata['namespace']}/{owner}",) if owner and item.get("addressType") == "IPv4" else ()
