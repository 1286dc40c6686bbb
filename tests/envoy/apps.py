"""Applications for tests: an HTTP/1 echo, and a TCP greeter that speaks first."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from aiohttp import WSMsgType, web
from tests.envoy.harness import HIDDEN_APP_PORT, Pod

from isthmus import names


class Echo:
    """Answers with what it heard; `status` is what it answers with, after `delay` seconds of work."""

    def __init__(self) -> None:
        self.status = 200
        self.delay = 0.0
        self.served = 0
        self.headers: dict[str, str] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.served += 1
        await asyncio.sleep(self.delay)
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._websocket(request)
        body = {
            "method": request.method,
            "path": request.raw_path,
            "version": f"{request.version.major}.{request.version.minor}",
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": await request.text(),
        }
        return web.json_response(body, status=self.status, headers={"server": "echo/1", **self.headers})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(f"echo {message.data}")
        return socket


@asynccontextmanager
async def echo(pod: Pod, *, port: int = HIDDEN_APP_PORT) -> AsyncIterator[Echo]:
    app = Echo()
    runner = web.ServerRunner(web.Server(app.handle), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, pod.address, port).start()
    try:
        yield app
    finally:
        await runner.cleanup()


@asynccontextmanager
async def greeter(pod: Pod, *, port: int = HIDDEN_APP_PORT, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Speaks first, as databases do, then echoes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"hello from {pod.name}\n".encode())
        while line := await reader.readline():
            writer.write(b"echo " + line)
        writer.close()

    server = await asyncio.start_server(serve, pod.address, port, ssl=tls)
    try:
        yield
    finally:
        server.close()


@asynccontextmanager
async def calls(pod: Pod, *, port: int = HIDDEN_APP_PORT) -> AsyncIterator[list[str]]:
    """A gRPC application; yields the names of its clients as it is told them."""
    seen: list[str] = []

    async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        seen.append(str(dict(context.invocation_metadata() or ()).get(names.CLIENT_ID_HEADER)))
        return request

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Handler(),))
    server.add_insecure_port(f"{pod.address}:{port}")
    await server.start()
    try:
        yield seen
    finally:
        await server.stop(None)


async def closes(host: str, port: int, said: bytes) -> bool:
    """Whether the other side closes the connection without a word."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(said)
        async with asyncio.timeout(2):
            return await reader.read() == b""
    except ConnectionResetError:
        return True
    finally:
        writer.close()
