"""The demo backend: a small HTTP/1.1 server that tells who answered and who asked."""

import asyncio
import json
import os
import signal
import socket
from contextlib import suppress
from http import HTTPStatus
from typing import ClassVar

PORT = int(os.environ.get("PORT", "8080"))
HEADER_LIMIT = 64 * 1024
LONGEST_END = 20.0
IDENTITY = {"service": os.environ.get("SERVICE_NAME", "backend"), "pod": socket.gethostname()} | (
    {"cluster": os.environ["CLUSTER_NAME"]} if os.environ.get("CLUSTER_NAME") else {}
)


class Backend(asyncio.Protocol):
    """One connection. Requests are answered in order; bodies are read and thrown away."""

    requests = 0
    connections: ClassVar["set[Backend]"] = set()
    stopping = False
    idle = asyncio.Event()
    """Nobody is connected. Only set while stopping."""

    def __init__(self) -> None:
        self.buffer = b""
        self.skip = 0
        self.chunked = False
        self.busy = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        Backend.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        Backend.connections.discard(self)
        if Backend.stopping and not Backend.connections:
            Backend.idle.set()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.advance()

    def advance(self) -> None:
        """Answer every complete request that has arrived."""
        while not self.busy:
            if not self.body_skipped():
                return
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self.buffer) > HEADER_LIMIT:
                    self.reply(431, {"error": "the request's headers are too large"}, close=True)
                return
            head, self.buffer = self.buffer[:end], self.buffer[end + 4 :]
            self.request(head)

    def body_skipped(self) -> bool:
        if self.chunked:
            end = self.buffer.find(b"0\r\n\r\n")
            if end < 0:
                self.buffer = self.buffer[-4:]
                return False
            self.buffer, self.chunked = self.buffer[end + 5 :], False
        if self.skip:
            taken = min(self.skip, len(self.buffer))
            self.buffer, self.skip = self.buffer[taken:], self.skip - taken
        return not self.skip

    def request(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        try:
            method, target, version = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            self.skip = int(headers.get("content-length") or 0)
        except ValueError:
            self.reply(400, {"error": "this is not an HTTP/1.1 request"}, close=True)
            return
        self.chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        if headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        Backend.requests += 1
        close = headers.get("connection", "").lower() == "close" or version == "HTTP/1.0" or Backend.stopping
        path, _, query = target.partition("?")
        delay = status = 0
        if path.startswith("/slow"):
            delay = number(query, "ms")
        if path.startswith("/status/"):
            status = number("code=" + path[8:], "code")
        answer = IDENTITY | {
            "path": target,
            "method": method,
            "client_id": headers.get("l5d-client-id", ""),
            "requests": Backend.requests,
            "headers": headers,
        }
        if delay:
            self.busy = True
            asyncio.get_running_loop().call_later(delay / 1000, self.late_reply, answer, close)
        else:
            self.reply(status or 200, answer, close=close, body=method != "HEAD" and status not in (204, 304))

    def late_reply(self, answer: dict[str, object], close: bool) -> None:
        self.busy = False
        if not self.transport.is_closing():
            self.reply(200, answer, close=close or Backend.stopping)
            self.advance()

    def reply(self, status: int, answer: dict[str, object], *, close: bool = False, body: bool = True) -> None:
        text = json.dumps(answer).encode() + b"\n"
        end = b"connection: close\r\n\r\n" if close else b"\r\n"
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            status, phrase = 400, "Bad Request"
        described = f"content-type: application/json\r\ncontent-length: {len(text)}\r\n" if status != 204 else ""
        head = f"HTTP/1.1 {status} {phrase}\r\n{described}"
        self.transport.write(head.encode() + end + (text if body else b""))
        if close:
            self.transport.close()


def number(query: str, name: str) -> int:
    for part in query.split("&"):
        key, _, value = part.partition("=")
        if key == name and value.isdigit():
            return int(value)
    return 0


async def serve(port: int = PORT) -> None:
    """Serve until SIGTERM, then finish what has been asked."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number_ in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number_, stop.set)
    server = await loop.create_server(Backend, "0.0.0.0", port, backlog=1024)
    print(f"listening on port {server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    Backend.stopping = True
    server.close()
    if not Backend.connections:
        Backend.idle.set()
    for connection in list(Backend.connections):
        if not connection.busy:
            connection.transport.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_END):
            await Backend.idle.wait()


if __name__ == "__main__":
    asyncio.run(serve())
