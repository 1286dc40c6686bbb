"""Servers of many protocols in one program, to be run inside a pod.

9000 gRPC, 8081 HTTP/1.1 and WebSocket, 7000 bytes where the client speaks first, 3306 bytes where the server does.
"""

import asyncio
import hashlib

import grpc
from aiohttp import WSMsgType, web

GREETING = b"welcome, speak after me\n"
CLIENT_ID = "l5d-client-id"


class Grpc(grpc.GenericRpcHandler):  # type: ignore[misc]
    """`/e2e/Who` tells who asks, `/e2e/Echo` sends back a stream, `/e2e/Hash` digests, `/e2e/Missing` fails."""

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return {
            "/e2e/Who": grpc.unary_unary_rpc_method_handler(self.who),
            "/e2e/Hash": grpc.unary_unary_rpc_method_handler(self.digest),
            "/e2e/Missing": grpc.unary_unary_rpc_method_handler(self.missing),
            "/e2e/Echo": grpc.stream_stream_rpc_method_handler(self.echo),
        }.get(call.method)

    async def who(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        metadata = dict(context.invocation_metadata() or ())
        return str(metadata.get(CLIENT_ID, "")).encode()

    async def digest(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return hashlib.sha256(request).hexdigest().encode()

    async def missing(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        return b""

    async def echo(self, requests, context):  # type: ignore[no-untyped-def]
        async for request in requests:
            yield request


async def upload(request: web.Request) -> web.Response:
    digest = hashlib.sha256(await request.read()).hexdigest()
    return web.json_response({"sha256": digest, "client": request.headers.get(CLIENT_ID, "")})


async def download(request: web.Request) -> web.Response:
    return web.Response(body=pattern(int(request.query["size"])))


async def websocket(request: web.Request) -> web.WebSocketResponse:
    """Says who asks, then everything that it is told."""
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    await connection.send_str(request.headers.get(CLIENT_ID, ""))
    async for message in connection:
        if message.type is WSMsgType.TEXT:
            await connection.send_str(message.data)
    return connection


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back whatever comes, and end when the client does."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GREETING)
    await echo(reader, writer)


def pattern(size: int) -> bytes:
    """Bytes that are the same wherever they are made and never repeat within a MiB."""
    return b"".join(number.to_bytes(4, "big") for number in range((size + 3) // 4))[:size]


async def main() -> None:
    rpc = grpc.aio.server()
    rpc.add_generic_rpc_handlers((Grpc(),))
    rpc.add_insecure_port("0.0.0.0:9000")
    await rpc.start()
    application = web.Application(client_max_size=64 << 20)
    application.add_routes([web.post("/up", upload), web.get("/down", download), web.get("/socket", websocket)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 8081).start()
    await asyncio.start_server(echo, "0.0.0.0", 7000)
    await asyncio.start_server(greet, "0.0.0.0", 3306)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
