"""One answer in four protocols, for tests that count: to be run inside a pod.

8081 HTTP/1.1, 8082 HTTP/2, 9000 gRPC, 7000 bytes that are echoed. A path ends with the status to answer with and the
milliseconds to wait before: `/503/0`, `/count.Numbers/14/1200`.
"""

import asyncio
from contextlib import suppress
from typing import Any

import grpc
from aiohttp import web
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived


def wish(path: str) -> tuple[int, float]:
    """Status and seconds."""
    *_, status, milliseconds = path.split("/")
    return int(status), int(milliseconds) / 1000


async def http1(request: web.Request) -> web.Response:
    status, seconds = wish(request.path)
    await asyncio.sleep(seconds)
    return web.Response(status=status, text="counted")


async def http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A connection with prior knowledge, as proxies speak it."""
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    writer.write(connection.data_to_send())

    async def reply(stream: int, path: str) -> None:
        status, seconds = wish(path)
        await asyncio.sleep(seconds)
        connection.send_headers(stream, [(":status", str(status)), ("content-length", "7")])
        connection.send_data(stream, b"counted", end_stream=True)
        writer.write(connection.data_to_send())

    async with asyncio.TaskGroup() as replies:
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    headers = dict(event.headers or ())
                    replies.create_task(reply(event.stream_id, headers[b":path"].decode()))
            writer.write(connection.data_to_send())
    writer.close()


class Rpc(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Every method; the last but one part of its name is the gRPC status."""

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        status, seconds = wish(call.method)

        async def answer(_: bytes, context: grpc.aio.ServicerContext) -> bytes:
            await asyncio.sleep(seconds)
            if status:
                code = next(each for each in grpc.StatusCode if each.value[0] == status)
                await context.abort(code, "as wished")
            return b"counted"

        return grpc.unary_unary_rpc_method_handler(answer)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main() -> None:
    rpc: Any = grpc.aio.server()
    rpc.add_generic_rpc_handlers((Rpc(),))
    rpc.add_insecure_port("0.0.0.0:9000")
    await rpc.start()
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", http1)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 8081).start()
    await asyncio.start_server(http2, "0.0.0.0", 8082)
    await asyncio.start_server(echo, "0.0.0.0", 7000)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
