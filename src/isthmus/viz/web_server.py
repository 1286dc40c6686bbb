"""The page over HTTP: its files, the stream of changes, questions about one workload.

It listens on loopback for a forwarded port. A browser that another site's page has tricked into asking is refused:
by the Host that it names, and because nothing here may be embedded or read across origins.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

import msgspec
from aiohttp import web

from isthmus.kube.requests import UNREADABLE
from isthmus.viz.api import QUERY
from isthmus.viz.web_picture import DETAIL_PATH, DetailQuestion
from isthmus.viz.web_sources import SourceError
from isthmus.viz.web_story import Lag, Story
from isthmus.viz.web_world import World, changes

log = logging.getLogger(__name__)

LOOPBACK: Final = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
MOST_WATCHERS: Final = 20
HEARTBEAT: Final = 1.0
SLOWEST_WATCHER: Final = 5.0
"""Seconds to take an event; the browser of one that is slower connects anew."""
LINGERS: Final = 10.0
"""Seconds for which clusters are read after the page was asked for, or left: its numbers are there before its scripts,
and a page that is loaded again goes on."""


class Board:
    """The world as it is, its story, and how watchers learn of changes."""

    def __init__(self) -> None:
        self.world = World()
        self.story = Story()
        self._lag = Lag()
        self._changed = asyncio.Event()

    def put(self, world: World, now: float) -> None:
        self._lag.mark(world, now)
        self.world = world
        self.story.follow(world, now)
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, seconds: float) -> None:
        """Return with the next change, or after some seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return


class Server:
    """`watched` is set while anybody looks at the page. `ask` is a question to one cluster."""

    def __init__(self, board: Board, watched: asyncio.Event, ask: Callable[[str, str], Awaitable[bytes]]) -> None:
        self._board = board
        self._watched = watched
        self._ask = ask
        self._watchers = 0
        self._rest: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def serving(self, address: str) -> AsyncIterator[int]:
        """Serve while the context is open; yields the port, which matters when 0 was asked for."""
        app = web.Application(middlewares=[guarded])
        for path, (body, kind) in _files().items():
            app.router.add_get(path, self._file(body, kind))
        app.router.add_get("/api/events", self._events)
        app.router.add_get("/api/workload", self._workload)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await runner.setup()
        try:
            host, _, port = address.rpartition(":")
            await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
            yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()
            if self._rest:
                self._rest.cancel()

    def _file(self, body: bytes, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            if request.path == "/":
                self._linger()
            return web.Response(body=body, content_type=kind, charset="utf-8")

        return answer

    def _linger(self) -> None:
        """Watch, though nobody may be there yet, or any more."""
        self._watched.set()
        if self._rest:
            self._rest.cancel()
        self._rest = asyncio.get_running_loop().call_later(LINGERS, self._rest_if_alone)

    def _rest_if_alone(self) -> None:
        if not self._watchers:
            self._watched.clear()

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._watchers >= MOST_WATCHERS:
            return web.Response(status=503, text=f"{MOST_WATCHERS} browsers watch already.\n")
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"} | HEADERS)
        await answer.prepare(request)
        self._watchers += 1
        self._watched.set()
        try:
            await self._tell(answer)
        except (ConnectionError, TimeoutError):
            log.debug("a browser left, or is too slow")
        finally:
            self._watchers -= 1
            self._linger()
        return answer

    async def _tell(self, answer: web.StreamResponse) -> None:
        """Everything, then differences: whoever is slow gets fewer and larger ones, never a queue of them."""
        sent, told = World(), 0
        while True:
            world = self._board.world
            news = [event for event in self._board.story.events if event["id"] > told]
            told = news[-1]["id"] if news else told
            message: dict[str, Any] = {"now": round(time.time(), 2), "tables": changes(sent, world), "events": news}
            sent = world
            async with asyncio.timeout(SLOWEST_WATCHER):
                await answer.write(b"data: " + msgspec.json.encode(message) + b"\n\n")
            await self._board.change(HEARTBEAT)

    async def _workload(self, request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(request.query.get(QUERY, ""), type=DetailQuestion)
            question = msgspec.json.encode(asked).decode()
            body = await self._ask(
                request.query.get("cluster", ""), f"{DETAIL_PATH}?{QUERY}={quote(question, safe='')}"
            )
            msgspec.json.decode(body)
        except SourceError as error:
            body = msgspec.json.encode({"refused": error.reason})
        except (*UNREADABLE, TimeoutError) as error:
            body = msgspec.json.encode({"refused": f"There is no answer that can be read: {error or 'too late'}."})
        return web.Response(body=body, content_type="application/json")


@web.middleware
async def guarded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answers who asks for localhost, and lets nobody embed or read across origins what is answered."""
    if not LOOPBACK.fullmatch(request.headers.get("Host", "")):
        return web.Response(status=403, text="This page is for localhost, through a forwarded port.\n")
    answer = await handler(request)
    if not answer.prepared:
        answer.headers.update(HEADERS)
    return answer


def _files() -> dict[str, tuple[bytes, str]]:
    """Path -> content and type."""
    found = {}
    for item in resources.files("isthmus.viz").joinpath("web").iterdir():
        kind = TYPES.get(f".{item.name.rpartition('.')[2]}")
        if kind:
            found["/" if item.name == "index.html" else f"/{item.name}"] = item.read_bytes(), kind
    return found
