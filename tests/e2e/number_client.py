"""Asks `number_server.py` in every protocol, to be run inside a pod: `number_client.py HOST STREAMS GOOD BAD SLOW`.

So many calls to HOST that succeed, that fail, and that succeed after a while. Then it holds connections to STREAMS with
a known number of bytes in both directions, says `holding`, and ends when its standard input does.
"""

import asyncio
import sys
from typing import Any

import aiohttp
import grpc
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, StreamEnded

FAILURES = {"http1": 503, "http2": 503, "grpc": 14}
SUCCESSES = {"http1": 200, "http2": 200, "grpc": 0}
DELAY = 1200
CONNECTIONS, BYTES = 3, 10_000


def wishes(protocol: str, good: int, bad: int, slow: int) -> list[str]:
    success, failure = SUCCESSES[protocol], FAILURES[protocol]
    return [*[f"{success}/0"] * good, *[f"{failure}/0"] * bad, *[f"{success}/{DELAY}"] * slow]


async def http1(host: str, *counts: int) -> None:
    async def get(wish: str) -> int:
        async with session.get(f"/{wish}") as answer:
            await answer.read()
            return answer.status

    async with aiohttp.ClientSession(f"http://{host}:8081") as session:
        wanted = wishes("http1", *counts)
        found = await asyncio.gather(*map(get, wanted))
    check(found, wanted)


async def http2(host: str, *counts: int) -> None:
    """All of them at once, on one connection with prior knowledge."""
    wanted = wishes("http2", *counts)
    reader, writer = await asyncio.open_connection(host, 8082)
    connection = H2Connection(H2Configuration())
    connection.initiate_connection()
    streams = [2 * number + 1 for number in range(len(wanted))]
    for stream, wish in zip(streams, wanted, strict=True):
        head = {":method": "GET", ":scheme": "http", ":authority": host, ":path": f"/{wish}"}
        connection.send_headers(stream, list(head.items()), end_stream=True)
    found, open_streams = {}, set(streams)
    while open_streams:
        writer.write(connection.data_to_send())
        for event in connection.receive_data(await reader.read(65536)):
            if isinstance(event, ResponseReceived):
                found[event.stream_id] = int(dict(event.headers or ())[b":status"])
            elif isinstance(event, StreamEnded):
                open_streams.remove(event.stream_id)
    writer.close()
    check([found[stream] for stream in streams], wanted)


async def rpc(host: str, *counts: int) -> None:
    async def call(wish: str) -> int:
        try:
            await channel.unary_unary(f"/count.Numbers/{wish}")(b"")
        except grpc.aio.AioRpcError as error:
            return int(error.code().value[0])
        return 0

    async with grpc.aio.insecure_channel(f"{host}:9000") as channel:
        wanted = wishes("grpc", *counts)
        found = await asyncio.gather(*map(call, wanted))
    check(found, wanted)


def check(found: list[int], wanted: list[str]) -> None:
    assert found == [int(wish.split("/")[0]) for wish in wanted], found


async def held(host: str) -> list[Any]:
    return [await one_held(host) for _ in range(CONNECTIONS)]


async def one_held(host: str) -> Any:
    reader, writer = await asyncio.open_connection(host, 7000)
    # The first byte tells the proxy that this is not HTTP, without waiting for the end of its patience.
    writer.write(b"\0" * BYTES)
    await reader.readexactly(BYTES)
    return writer


async def main(host: str, streams: str, *counts: int) -> None:
    async with asyncio.timeout(60):
        calls = [protocol(host, *counts) for protocol in (http1, http2, rpc)]
        *_, connections = await asyncio.gather(*calls, held(streams))
    print("holding", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for each in connections:
        each.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3], *map(int, sys.argv[3:])))
