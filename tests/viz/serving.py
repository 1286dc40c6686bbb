"""The page's server with clusters that a test makes up, and live requests as a tap would tell them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace as changed
from tests.viz import pages
from tests.viz.pages import EAST, NOW, WEST, seen

from isthmus.cli.dashboard_requests import LiveRequests, RequestsError, Wanted
from isthmus.viz.api import Numbers
from isthmus.viz.web_picture import Detail, Point, Port, ProxyPicture
from isthmus.viz.web_server import Board, Server
from isthmus.viz.web_sources import Seen
from isthmus.viz.web_world import compose

NAMED = (seen("", changed(WEST, name="west")), seen("east", EAST))
HOSTILE = '<script>top.hit=1</script><img src=x onerror="top.hit=1">'
DETAIL = Detail(
    now=NOW,
    identity="backend.default.serviceaccount.identity.linkerd.east.example",
    proxies=(
        ProxyPicture(pod="backend-1", status="Running", ready=True, meshed=True, certificate_expires=NOW + 7200),
        ProxyPicture(pod=HOSTILE, status="Running", problem=HOSTILE, settings=(HOSTILE,), meshed=True),
    ),
    ports=(Port(port="8080", numbers=pages.GOOD), Port(port="9000", numbers=Numbers())),
    points=tuple(Point(ago=10.0 * index, numbers=pages.GOOD) for index in range(40, 0, -1)),
    step=10.0,
)


@dataclass
class Shown:
    """A page that is served, and the address of it."""

    board: Board
    url: str
    watched: asyncio.Event

    def put(self, *clusters: Seen) -> None:
        self.board.put(compose(clusters), NOW)


@asynccontextmanager
async def served(*clusters: Seen) -> AsyncIterator[Shown]:
    async def ask(cluster: str, path: str) -> bytes:
        assert path.startswith("/api/v1/workload?query=")
        return msgspec.json.encode(DETAIL)

    board, watched = Board(), asyncio.Event()
    async with Server(board, watched, ask).serving("127.0.0.1:0") as port:
        shown = Shown(board, f"http://localhost:{port}/", watched)
        shown.put(*clusters)
        yield shown


class Requests(LiveRequests):
    """What a tap would tell; `followed` while somebody asks for it."""

    def __init__(self) -> None:
        self.asked: list[Wanted] = []
        self.followed = False

    async def follow(self, wanted: Wanted) -> AsyncGenerator[dict[str, Any], None]:
        self.asked.append(wanted)
        if wanted.cluster:
            raise RequestsError(f"No context {HOSTILE}")
        self.followed = True
        try:
            row = {"with": HOSTILE, "method": "GET", "path": HOSTILE, "count": 3, "failed": 1}
            times = {"best": 0.5, "worst": 20.0, "last": None}
            sums = {"seconds": 1, "listening": 1, "pods": 2, "most": 20, "busy": True, "problems": [HOSTILE]}
            while True:
                yield {"asked": [row | times], "asks": [], **sums}
                await asyncio.sleep(0.05)
        finally:
            self.followed = False
