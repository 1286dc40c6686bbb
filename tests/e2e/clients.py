"""Clients of `servers.py`, to be run inside a pod: `clients.py HOST MARKER` prints what each of them saw, as JSON.

The marker is part of everything that is sent, so that a capture can be searched for it.
"""

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import grpc

MEGABYTE = 1 << 20
MESSAGES = 100
LONGEST = 15.0


def pattern(size: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in range((size + 3) // 4))[:size]


async def rpc(host: str, marker: str) -> dict[str, Any]:
    large = marker.encode() + pattern(MEGABYTE)

    async def messages() -> AsyncIterator[bytes]:
        for number in range(MESSAGES):
            yield f"{marker} {number}".encode()

    async with grpc.aio.insecure_channel(f"{host}:9000") as channel:
        who = await channel.unary_unary("/e2e/Who")(marker.encode())
        digest = await channel.unary_unary("/e2e/Hash")(large)
        echoed = [message async for message in channel.stream_stream("/e2e/Echo")(messages())]
        try:
            await channel.unary_unary("/e2e/Missing")(b"")
            error = ""
        except grpc.aio.AioRpcError as failed:
            error = f"{failed.code().name}: {failed.details()}"
    return {
        "client": who.decode(),
        "large": digest.decode() == hashlib.sha256(large).hexdigest(),
        "echoed": echoed == [f"{marker} {number}".encode() for number in range(MESSAGES)],
        "error": error,
    }


async def http(host: str, marker: str) -> dict[str, Any]:
    body = marker.encode() + pattern(MEGABYTE)
    async with aiohttp.ClientSession(f"http://{host}:8081") as session:
        async with session.post("/up", data=body, headers={"x-marker": marker}) as answer:
            up = await answer.json()
            server = answer.headers.get("l5d-server-id", "")
        async with session.get("/down", params={"size": str(MEGABYTE), "marker": marker}) as answer:
            down = await answer.read()
    return {
        "client": up["client"],
        "server": server,
        "up": up["sha256"] == hashlib.sha256(body).hexdigest(),
        "down": down == pattern(MEGABYTE),
    }


async def websocket(host: str, marker: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://{host}:8081/socket") as connection:
        who = await connection.receive_str()
        sent = [f"{marker} {number}" for number in range(MESSAGES)]
        for text in sent:
            await connection.send_str(text)
        echoed = [await connection.receive_str() for _ in sent]
    return {"client": who, "echoed": echoed == sent, "closed": connection.close_code}


async def client_first(host: str, marker: str) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection(host, 7000)
    echoed = await echo(reader, writer, b"\x00\xff" + marker.encode() + pattern(MEGABYTE))
    return {"echoed": echoed}


async def server_first(host: str, marker: str) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection(host, 3306)
    began = time.monotonic()
    greeting = await reader.readline()
    waited = time.monotonic() - began
    return {"greeting": greeting.decode(), "waited": waited, "echoed": await echo(reader, writer, marker.encode())}


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bool:
    """Whether everything comes back, and the end too, after ours."""
    writer.write(data)
    writer.write_eof()
    echoed = await reader.read()
    writer.close()
    return echoed == data


async def attempt(client: Callable[[str, str], Coroutine[Any, Any, dict[str, Any]]], *words: str) -> dict[str, Any]:
    began = time.monotonic()
    try:
        async with asyncio.timeout(LONGEST):
            found = await client(*words)
    except Exception as error:
        found = {"failed": f"{type(error).__name__}: {error}"}
    return {**found, "seconds": round(time.monotonic() - began, 3)}


async def main(host: str, marker: str) -> None:
    clients = (rpc, http, websocket, client_first, server_first)
    print(json.dumps({client.__name__: await attempt(client, host, marker) for client in clients}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
