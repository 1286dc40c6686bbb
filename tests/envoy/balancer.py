"""What stands before gateways and behind them: a load balancer, and addresses where packets vanish."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from tests.envoy.harness import Pod

from isthmus import names

CHUNK = 1 << 16


@dataclass
class Balancer:
    """Connections to one address, each on its way to the gateway that was chosen when it began."""

    chosen: Pod
    connections: set["asyncio.Task[None]"] = field(default_factory=set)
    forgotten: list[asyncio.StreamWriter] = field(default_factory=list)

    def lose(self) -> None:
        """All connections fall silent for good, as when the node at their other end dies: nobody is told."""
        for connection in self.connections:
            connection.cancel()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self.chosen.address, names.GATEWAY_PORT)
        task = asyncio.create_task(_both_ways((reader, back), (there, writer)))
        self.connections.add(task)
        self.forgotten += [writer, back]
        await asyncio.wait([task])


async def _both_ways(*ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    async with asyncio.TaskGroup() as both:
        for reader, writer in ways:
            both.create_task(_copy(reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


@contextmanager
def hole(address: str, port: int) -> Iterator[socket.socket]:
    """A listener that is full: the kernel drops every packet that would begin a connection, until one is accepted."""
    with socket.socket() as listener, socket.socket() as only:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        only.connect((address, port))
        yield listener


@asynccontextmanager
async def balancer(address: str, chosen: Pod) -> AsyncIterator[Balancer]:
    """A load balancer on an address of its own, at the gateways' port."""
    running = Balancer(chosen)
    server = await asyncio.start_server(running.accept, address, names.GATEWAY_PORT)
    try:
        yield running
    finally:
        server.close()
        running.lose()
        for writer in running.forgotten:
            writer.close()
