"""Port-forward: SPDY streams in the messages of one websocket, each pair of them a TCP connection into the pod.

The client opens two streams per connection, told apart by the header `streamtype`: `error` carries at most one message
from here, `data` carries the bytes. `requestid` says which belong together, `port` where to connect to.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import WSMsgType, web

from isthmus.lab.node import spdy

PROTOCOL: Final = "SPDY/3.1+portforward.k8s.io"
_CHUNK: Final = 64 * 1024
_QUEUED_CHUNKS: Final = 64

Dial = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Connect to a port of the pod; OSError says why not."""


@dataclass
class _Tunnel:
    """One TCP connection, from the moment its data stream is opened."""

    data_stream: int
    error_stream: int
    port: int
    inbox: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(_QUEUED_CHUNKS))
    """What the client sent; an empty chunk is its end."""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def put(self, data: bytes) -> None:
        """Queue for the pod. A full queue holds up the whole websocket, but not after the connection is gone."""
        if self.over.is_set():
            return
        if not self.inbox.full():
            self.inbox.put_nowait(data)
            return
        adding = asyncio.ensure_future(self.inbox.put(data))
        ending = asyncio.ensure_future(self.over.wait())
        try:
            await asyncio.wait({adding, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            adding.cancel()
            ending.cancel()


class Forwarder:
    """One port-forward session: opens and ends tunnels as the client asks."""

    def __init__(self, socket: web.WebSocketResponse, dial: Dial) -> None:
        self._socket = socket
        self._dial = dial
        self._session = spdy.Session()
        self._error_streams: dict[str, int] = {}
        self._tunnels: dict[int, _Tunnel] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Serve until the client hangs up."""
        async with asyncio.TaskGroup() as group:
            try:
                async for message in self._socket:
                    if message.type is not WSMsgType.BINARY:
                        continue
                    for event in self._session.receive(message.data):
                        await self._handle(event, group)
                    await self._send(self._session.outgoing())
            except (spdy.SpdyError, ConnectionError) as error:
                await self._socket.close(code=1002, message=str(error).encode()[:120])
            finally:
                for task in self._tasks.values():
                    task.cancel()

    async def _handle(self, event: spdy.Event, group: asyncio.TaskGroup) -> None:
        match event:
            case spdy.Opened():
                await self._send(self._session.outgoing())
                await self._opened(event, group)
            case spdy.Data(stream, data, end) if stream in self._tunnels:
                for chunk in (*([data] if data else []), *([b""] if end else [])):
                    await self._tunnels[stream].put(chunk)
            case spdy.Reset(stream) if stream in self._tasks:
                self._tasks[stream].cancel()

    async def _opened(self, event: spdy.Opened, group: asyncio.TaskGroup) -> None:
        request = event.headers.get("requestid", "")
        if event.headers.get("streamtype") == "error":
            self._error_streams[request] = event.stream
            return
        port = event.headers.get("port", "")
        if request not in self._error_streams or not port.isdecimal() or not 0 < int(port) < 65536:
            await self._send(self._session.reset(event.stream, spdy.ResetCode.PROTOCOL_ERROR))
            return
        tunnel = _Tunnel(event.stream, self._error_streams.pop(request), int(port))
        self._tunnels[event.stream] = tunnel
        self._tasks[event.stream] = group.create_task(self._carry(tunnel))

    async def _carry(self, tunnel: _Tunnel) -> None:
        problem = ""
        try:
            problem = await self._connect_and_carry(tunnel)
            await self._send(self._session.data(tunnel.error_stream, problem.encode(), end=True))
            await self._send(self._session.data(tunnel.data_stream, b"", end=True))
        except ConnectionError:
            return  # the client is gone, and the session with it
        finally:
            tunnel.over.set()
            del self._tunnels[tunnel.data_stream], self._tasks[tunnel.data_stream]

    async def _connect_and_carry(self, tunnel: _Tunnel) -> str:
        """Carry bytes both ways until the pod has sent everything. What went wrong, or nothing."""
        try:
            reader, writer = await self._dial(tunnel.port)
        except OSError as error:
            return f"failed to connect to localhost:{tunnel.port} inside the pod: {error.strerror or error}"
        sending = asyncio.create_task(_feed(tunnel, writer))
        try:
            while data := await _read(reader):
                await self._send(self._session.data(tunnel.data_stream, data))
        finally:
            sending.cancel()
            writer.close()
        return ""

    async def _send(self, data: bytes) -> None:
        if data:
            await self._socket.send_bytes(data)


async def _feed(tunnel: _Tunnel, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await tunnel.inbox.get():
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        tunnel.over.set()  # nobody takes what the client sends; the reading side ends the tunnel


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(_CHUNK)
    except OSError:
        return b""
