"""The page on this machine: its pod's, through the forwarded port, and live requests, which are tapped from here."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import web

from isthmus.cli.dashboard_files import Files
from isthmus.cli.dashboard_requests import LiveRequests, RequestsError, Wanted
from isthmus.viz.web_server import HEADERS, guarded

SILENCE: Final = 10.0
"""Seconds without a byte from a page that says something every second."""
CONNECTS: Final = 5.0
SLOWEST: Final = 5.0
PASSED_ON: Final = ("Content-Type", "Content-Length", *HEADERS)
OWN: Final = frozenset({"same-origin", "none"})
"""Who may have live requests: the page itself, and who types the address."""
log = logging.getLogger(__name__)


class Relay:
    """`upstream` is where the page's pod answers; `requests` answers /api/requests."""

    def __init__(self, upstream: str, requests: LiveRequests) -> None:
        self._upstream = upstream
        self._requests = requests
        self._files = Files()

    @asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve while the context is open; yields the port. Raises OSError for one that is taken."""
        app = web.Application(middlewares=[guarded])
        app.router.add_get("/api/requests", self._live)
        app.router.add_get("/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECTS, sock_read=SILENCE)
        async with aiohttp.ClientSession(self._upstream, timeout=timeout, auto_decompress=False) as self._http:
            await runner.setup()
            try:
                await web.TCPSite(runner, host, port).start()
                async with _beside(self._files.fetch(self._http)):
                    yield int(runner.addresses[0][1])
            finally:
                await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        if file := self._files.get(request.path):
            return web.Response(body=file.body, headers=_kept(file.headers))
        answer: web.StreamResponse | None = None
        try:
            async with self._http.get(request.rel_url, allow_redirects=False) as said:
                answer = web.StreamResponse(status=said.status, headers=_kept(said.headers))
                await answer.prepare(request)
                async for chunk in said.content.iter_any():
                    async with asyncio.timeout(SLOWEST):
                        await answer.write(chunk)
        except (aiohttp.ClientError, OSError) as error:
            log.debug("the page's pod, or the browser, is gone: %s", error)
            if answer is None:
                return web.Response(status=502, text="The page's pod does not answer.\n")
        return answer

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Sec-Fetch-Site", "none") not in OWN:
            return web.Response(status=403, text="Only the page itself may ask for requests.\n")
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"} | HEADERS)
        await answer.prepare(request)
        names = ("cluster", "domain", "namespace", "kind", "name")
        wanted = Wanted(**{name: request.query.get(name, "") for name in names})
        try:
            async with aclosing(self._requests.follow(wanted)) as found:
                async for told in found:
                    await _tell(answer, told)
            await _tell(answer, {"ended": True})
        except RequestsError as error:
            await _tell(answer, {"refused": str(error)})
        except OSError as error:  # also TimeoutError
            log.debug("a browser left, or is too slow: %s", error)
        return answer


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Works while the context is open. Not a task group, which would wrap what the context raises."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in PASSED_ON if name in headers}


async def _tell(answer: web.StreamResponse, what: dict[str, Any]) -> None:
    async with asyncio.timeout(SLOWEST):
        await answer.write(b"data: " + msgspec.json.encode(what) + b"\n\n")
