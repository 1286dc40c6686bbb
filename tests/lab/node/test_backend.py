"""The demo backend answers like a web server, and says who asked."""

import asyncio
import json

import pytest

from isthmus.lab.programs.backend import Backend


@pytest.fixture
async def connect():
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    writers = []

    async def open_one():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        return reader, writer

    yield open_one
    for writer in writers:
        writer.close()
    server.close()


async def answer(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    return head[0], json.loads(await reader.readexactly(int(headers["content-length"])))


async def test_requests_on_one_connection_are_answered_in_order(connect):
    reader, writer = await connect()
    writer.write(
        b"GET /slow?ms=20 HTTP/1.1\r\nhost: x\r\n\r\nGET /health HTTP/1.1\r\nl5d-client-id: spiffe://a\r\n\r\n"
    )
    first, second = await answer(reader), await answer(reader)
    assert first[1]["path"] == "/slow?ms=20"
    assert (second[0], second[1]["client_id"]) == ("HTTP/1.1 200 OK", "spiffe://a")
    assert second[1]["requests"] == first[1]["requests"] + 1


@pytest.mark.parametrize(
    "body",
    [b"content-length: 5\r\n\r\nhello", b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"],
)
async def test_bodies_are_skipped_however_they_arrive(connect, body):
    reader, writer = await connect()
    for byte in b"POST /a HTTP/1.1\r\n" + body + b"GET /b HTTP/1.1\r\n\r\n":
        writer.write(bytes([byte]))
        await writer.drain()
    assert (await answer(reader))[1]["method"] == "POST"
    assert (await answer(reader))[1]["path"] == "/b"


async def test_a_wanted_status_is_given_and_close_closes(connect):
    reader, writer = await connect()
    writer.write(b"GET /status/503 HTTP/1.1\r\nconnection: close\r\n\r\n")
    assert (await answer(reader))[0] == "HTTP/1.1 503 Service Unavailable"
    assert await reader.read() == b""


async def test_nonsense_is_refused(connect):
    reader, writer = await connect()
    writer.write(b"\x16\x03\x01\r\n\r\n")
    assert (await answer(reader))[0] == "HTTP/1.1 400 Bad Request"
