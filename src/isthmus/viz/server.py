"""The metrics API over HTTP: questions as JSON in the URL, answers as JSON, refusals as one sentence.

A refusal is an answer, too: the API server, through which people ask, would cut and wrap an error's text.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from isthmus.viz import api, edges, routes, stat
from isthmus.viz.stat import View

Q = TypeVar("Q", api.StatQuestion, api.RoutesQuestion, api.EdgesQuestion)
Page = Callable[[web.Request], Awaitable[web.Response]]
LONGEST_LINE: Final = 16384
"""Of a request, and so of a question."""


class Server:
    """Answers from the view of the moment, after it was made fresh."""

    def __init__(
        self,
        view: Callable[[], View],
        fresh: Callable[[], Awaitable[None]],
        status: Callable[[], Awaitable[api.Status]],
        targets: Callable[[str], object],
        *,
        pages: Mapping[str, Page] | None = None,
    ) -> None:
        """`pages`: path -> what else answers there."""
        self._view = view
        self._fresh = fresh
        self._status = status
        self._targets = targets
        self._pages = pages or {}

    @asynccontextmanager
    async def serving(self, address: str) -> AsyncIterator[int]:
        """Serve while the context is open; yields the port, which matters when 0 was asked for."""
        app = web.Application(handler_args={"max_line_size": LONGEST_LINE})
        app.router.add_get(api.STAT_PATH, self._stat)
        app.router.add_get(api.ROUTES_PATH, self._routes)
        app.router.add_get(api.EDGES_PATH, self._edges)
        app.router.add_get(api.STATUS_PATH, self._tell_status)
        app.router.add_get(f"{api.TARGETS_PATH}{{job}}", self._tell_targets)
        for path, page in self._pages.items():
            app.router.add_get(path, page)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        try:
            host, _, port = address.rpartition(":")
            await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
            yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()

    async def _stat(self, request: web.Request) -> web.Response:
        return await self._answer(request, api.StatQuestion, stat.answer)

    async def _routes(self, request: web.Request) -> web.Response:
        return await self._answer(request, api.RoutesQuestion, routes.answer)

    async def _edges(self, request: web.Request) -> web.Response:
        return await self._answer(request, api.EdgesQuestion, edges.answer)

    async def _tell_status(self, _: web.Request) -> web.Response:
        await self._fresh()
        return _json(await self._status())

    async def _tell_targets(self, request: web.Request) -> web.Response:
        try:
            return _json(self._targets(request.match_info["job"]))
        except ValueError as error:
            return web.Response(status=404, text=f"{error}\n")

    async def _answer(self, request: web.Request, kind: type[Q], ask: Callable[[View, Q], object]) -> web.Response:
        try:
            question = msgspec.json.decode(request.query.get(api.QUERY, ""), type=kind)
            api.require_window(question.window)
            await self._fresh()
            return _json(ask(self._view(), question))
        except msgspec.DecodeError as error:
            return _json(api.Refusal(refused=f"The metrics API cannot read the question: {error}."))
        except ValueError as error:
            return _json(api.Refusal(refused=str(error)))


def _json(answer: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")
