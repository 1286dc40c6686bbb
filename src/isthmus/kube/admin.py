"""What every control-plane process serves on its admin port: /live, /ready, /metrics, and pages of its own."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import parse_qsl

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from isthmus import names

log = logging.getLogger(__name__)

Ready = Callable[[], str | None]
"""None when the process is ready, otherwise what it still waits for, in words."""

Page = Callable[[Mapping[str, str]], bytes]
"""A page of JSON for a query; raises ValueError, in words, when the query makes no sense."""

_SECONDS: Final = 5
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
_METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"


@asynccontextmanager
async def serve(
    ready: Ready,
    *,
    address: str = f"0.0.0.0:{names.CONTROLLER_ADMIN_PORT}",
    registry: CollectorRegistry = REGISTRY,
    pages: Mapping[str, Page] | None = None,
) -> AsyncIterator[int]:
    """Serve while the context is open; yields the port, which matters when 0 was asked for."""
    known: dict[str, Page] = dict(pages or {})

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, *_ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
                path, _, query = target.partition("?")
                if method == "GET" and path in known:
                    writer.write(_response(*_json(known[path], query)))
                else:
                    writer.write(_response(*_page(method, path, ready, registry)))
                await writer.drain()
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            log.debug("a request on the admin port was cut short")
        finally:
            writer.close()

    host, _, port = address.rpartition(":")
    server = await asyncio.start_server(answer, host.strip("[]") or None, int(port))
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def _page(method: str, path: str, ready: Ready, registry: CollectorRegistry) -> tuple[int, str, bytes]:
    if method not in ("GET", "HEAD"):
        return 405, "text/plain", b"only GET\n"
    if path == "/live":
        return 200, "text/plain", b"live\n"
    if path == "/ready":
        waiting_for = ready()
        return (503, "text/plain", f"{waiting_for}\n".encode()) if waiting_for else (200, "text/plain", b"ready\n")
    if path == "/metrics":
        return 200, _METRICS, generate_latest(registry)
    return 404, "text/plain", b"only /live, /ready and /metrics\n"


def _json(page: Page, query: str) -> tuple[int, str, bytes]:
    try:
        return 200, "application/json", page(dict(parse_qsl(query)))
    except ValueError as error:
        return 400, "text/plain", f"{error}\n".encode()


def _response(code: int, content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body
