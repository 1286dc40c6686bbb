"""exec, attach, logs and port-forward as a client of the node sees them, with real processes behind."""

import asyncio
import json
import struct
import sys
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from isthmus.lab.node import channels, spdy, streams
from isthmus.lab.node.channels import Channel
from isthmus.lab.node.portforward import PROTOCOL

POD = "/api/v1/namespaces/default/pods/pod"


@pytest.fixture
async def node(containers: Any) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(streams.app(containers))) as client:
        yield client


async def replies(socket: aiohttp.ClientWebSocketResponse) -> tuple[bytes, bytes, dict[str, Any]]:
    """Everything until the end: standard output, standard error and the status."""
    got = dict.fromkeys(Channel, b"")
    async with asyncio.timeout(10):
        async for message in socket:
            got[Channel(message.data[0])] += message.data[1:]
    return got[Channel.STDOUT], got[Channel.STDERR], json.loads(got[Channel.ERROR])


async def run(node: Any, *command: str, **query: str) -> tuple[bytes, bytes, dict[str, Any]]:
    params = [("command", part) for part in command] + list(query.items())
    async with node.ws_connect(f"{POD}/exec", params=params, protocols=[channels.V5]) as socket:
        return await replies(socket)


async def test_output_and_errors_arrive_apart(node: Any) -> None:
    out, err, status = await run(node, "sh", "-c", "echo out; echo err >&2", container="app")
    assert (out, err, status["status"]) == (b"out\n", b"err\n", "Success")


async def test_the_exit_code_is_told(node: Any) -> None:
    _, _, status = await run(node, "sh", "-c", "exit 3")
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


async def test_a_program_that_is_not_there(node: Any) -> None:
    _, _, status = await run(node, "no-such-program")
    assert status["message"] == ('Internal error occurred: exec: "no-such-program": executable file not found in $PATH')


async def test_a_lot_of_output_arrives_whole(node: Any) -> None:
    out, _, _ = await run(node, "head", "-c", "3000000", "/dev/zero")
    assert len(out) == 3_000_000


async def test_a_child_left_behind_does_not_keep_the_session(node: Any) -> None:
    out, _, status = await run(node, "sh", "-c", "sleep 30 & echo done")
    assert (out, status["status"]) == (b"done\n", "Success")


async def test_input_goes_in_and_its_end_is_seen(node: Any) -> None:
    params = {"command": "cat", "stdin": "true"}
    async with node.ws_connect(f"{POD}/exec", params=params, protocols=[channels.V5]) as socket:
        await socket.send_bytes(b"\x00hello")
        await socket.send_bytes(bytes([Channel.CLOSE, Channel.STDIN]))
        assert (await replies(socket))[0] == b"hello"


async def test_version_4_is_served_and_the_client_has_the_choice(node: Any) -> None:
    params = {"command": "true"}
    async with node.ws_connect(f"{POD}/exec", params=params, protocols=[channels.V4]) as socket:
        assert socket.protocol == channels.V4
        assert (await replies(socket))[2]["status"] == "Success"
    async with node.ws_connect(f"{POD}/exec", params=params, protocols=[channels.V5, channels.V4]) as socket:
        assert socket.protocol == channels.V5


async def test_a_terminal_has_the_size_the_client_says(node: Any) -> None:
    script = "import os\ninput()\nprint(*os.get_terminal_size())"
    params = [("command", sys.executable), ("command", "-c"), ("command", script), ("tty", "true"), ("stdin", "true")]
    async with node.ws_connect(f"{POD}/exec", params=params, protocols=[channels.V5]) as socket:
        await socket.send_bytes(channels.encode(Channel.RESIZE, b'{"Width":123,"Height":45}'))
        await socket.send_bytes(channels.encode(Channel.STDIN, b"\n"))
        out, err, status = await replies(socket)
    assert out.split() == [b"123", b"45"]
    assert (err, status["status"]) == (b"", "Success")


async def test_hanging_up_ends_the_program(node: Any, containers: Any) -> None:
    params = [("command", "sh"), ("command", "-c"), ("command", "echo here; sleep 60")]
    async with node.ws_connect(f"{POD}/exec", params=params, protocols=[channels.V5]) as socket:
        assert (await socket.receive_bytes(timeout=5)) == b"\x01"
        assert (await socket.receive_bytes(timeout=5)) == b"\x01here\n"
    (process,) = containers.started
    assert await asyncio.wait_for(process.wait(), 5) == 128 + 9


async def test_attach_carries_both_ways(node: Any) -> None:
    async with node.ws_connect(f"{POD}/attach", params={"stdin": "true"}, protocols=[channels.V5]) as socket:
        await socket.send_bytes(b"\x00ping")
        assert [await socket.receive_bytes(timeout=5) for _ in range(2)] == [b"\x01", b"\x01ping"]


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("/api/v1/namespaces/default/pods/other/exec?command=true", 404, 'pods "other" not found'),
        (f"{POD}/exec?command=true&container=x", 400, "container x is not valid for pod pod"),
        (
            f"{POD}/exec?command=true&container=\u00fc\U0001f600",
            400,
            "container \u00fc\U0001f600 is not valid for pod pod",
        ),
        (f"{POD}/exec", 400, "you must specify at least one command for the container"),
        (f"{POD}/log?tailLines=x", 400, "tailLines must be a number that is not negative, not 'x'"),
    ],
)
async def test_refusals_are_statuses(node: Any, path: str, code: int, message: str) -> None:
    async with node.get(path) as answer:
        status = await answer.json()
    assert (answer.status, status["code"], status["kind"], status["message"]) == (code, code, "Status", message)


async def test_nobody_enters_a_container_that_has_ended(node: Any, containers: Any) -> None:
    containers.alive = False
    async with node.get(f"{POD}/exec?command=true&container=app") as answer:
        status = await answer.json()
    assert status["message"] == 'container "app" of pod "pod" in namespace default is not running'


async def test_an_old_client_is_told_what_to_do(node: Any) -> None:
    async with node.post(f"{POD}/exec?command=true", headers={"Upgrade": "SPDY/3.1"}) as answer:
        assert "use kubectl 1.31 or later" in (await answer.json())["message"]


async def test_a_log_is_followed_until_the_container_ends(node: Any, containers: Any) -> None:
    containers.log.write_bytes(b"one\n")
    async with node.get(f"{POD}/log?follow=true") as answer:
        assert await answer.content.readline() == b"one\n"
        with containers.log.open("ab") as file:
            file.write(b"two\n")
        assert await answer.content.readline() == b"two\n"
        containers.alive = False
        assert await asyncio.wait_for(answer.read(), 5) == b""


class Forward:
    """A port-forward client: opens pairs of streams, collects what comes back on each."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.received: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self._deflate = zlib.compressobj(zdict=spdy.DICTIONARY)

    async def open(self, port: int, *, request: int) -> tuple[int, int]:
        pair = (4 * request + 1, 4 * request + 3)
        for stream, kind in zip(pair, ("error", "data"), strict=True):
            headers = {"streamtype": kind, "port": str(port), "requestid": str(request)}
            block = self._deflate.compress(spdy.pack_headers(headers)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
            frame = spdy.control(spdy.Kind.SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + block)
            await self.socket.send_bytes(frame)
        return pair

    async def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        await self.socket.send_bytes(struct.pack(">II", stream, int(end) << 24 | len(data)) + data)

    async def until_ended(self, *streams: int) -> None:
        async with asyncio.timeout(10):
            while not self.ended.issuperset(streams):
                self._take(await self.socket.receive_bytes())

    def _take(self, message: bytes) -> None:
        while message:
            head, size = struct.unpack_from(">II", message)
            flags, length = size >> 24, size & 0xFFFFFF
            if not head & 0x80000000:
                self.received[head] = self.received.get(head, b"") + message[8 : 8 + length]
                if flags & spdy.FIN:
                    self.ended.add(head)
            message = message[8 + length :]


@pytest.fixture
async def forward(node: Any) -> AsyncIterator[Forward]:
    async with node.ws_connect(f"{POD}/portforward", protocols=[PROTOCOL]) as socket:
        assert socket.protocol == PROTOCOL
        yield Forward(socket)


async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that answers, in capitals, once it has heard everything."""
    writer.write((await reader.read()).upper())
    writer.close()


async def test_connections_are_forwarded_side_by_side(forward: Forward) -> None:
    async with await asyncio.start_server(upper, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        errors_a, data_a = await forward.open(port, request=0)
        errors_b, data_b = await forward.open(port, request=1)
        big = b"b" * 1_000_000
        await forward.send(data_b, big, end=True)
        await forward.send(data_a, b"hello", end=True)
        await forward.until_ended(errors_a, data_a, errors_b, data_b)
    assert forward.received[data_a] == b"HELLO"
    assert forward.received[data_b] == big.upper()
    assert forward.received[errors_a] == b""


async def test_a_port_nobody_listens_on_is_reported_and_the_session_goes_on(forward: Forward) -> None:
    listener = await asyncio.start_server(upper, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    errors, data = await forward.open(port, request=0)
    await forward.until_ended(errors, data)
    assert forward.received[errors].startswith(b"failed to connect to localhost:%d inside the pod" % port)
    async with await asyncio.start_server(upper, "127.0.0.1", 0) as server:
        errors, data = await forward.open(server.sockets[0].getsockname()[1], request=1)
        await forward.send(data, b"again", end=True)
        await forward.until_ended(data)
    assert forward.received[data] == b"AGAIN"


async def test_a_pod_that_closes_ends_the_stream_at_once(forward: Forward) -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        errors, data = await forward.open(server.sockets[0].getsockname()[1], request=0)
        await forward.until_ended(errors, data)
    assert forward.received[data] == b""


async def test_a_broken_client_is_told_and_let_go(forward: Forward) -> None:
    await forward.socket.send_bytes(bytes.fromhex("80020001 00000000"))
    message = await asyncio.wait_for(forward.socket.receive(), 5)
    assert message.type is aiohttp.WSMsgType.CLOSE
    assert "version 2 of SPDY" in message.extra
