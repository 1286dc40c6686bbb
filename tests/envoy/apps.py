"""Applications for tests: an HTTP/1 echo, and a TCP greeter that speaks first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import WSMsgType, web
from harness import HIDDEN_APP_PORT, Pod


class Echo:
    """Answers with what it heard; `status` is what it answers with."""

    def __init__(self) -> None:
        self.status = 200
        self.served = 0
        self.headers: dict[str, str] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.served += 1
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
async def greeter(pod: Pod, *, port: int = HIDDEN_APP_PORT) -> AsyncIterator[None]:
    """Speaks first, as databases do, then echoes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"hello from {pod.name}\n".encode())
        while line := await reader.readline():
            writer.write(b"echo " + line)
        writer.close()

    server = await asyncio.start_server(serve, pod.address, port)
    try:
        yield
    finally:
        server.close()
