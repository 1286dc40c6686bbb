"""The page in a real browser: what people see, and that they can get at it."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace as changed
from tests.kube.waiting import until
from tests.viz import pages
from tests.viz.browser import CHROMIUM, MISSING, Page, chromium
from tests.viz.pages import EAST, NOW, WEST, call, party, seen, workload

from isthmus.cli.dashboard_relay import Relay
from isthmus.cli.dashboard_requests import LiveRequests, RequestsError, Wanted
from isthmus.viz.api import Numbers
from isthmus.viz.web_picture import Detail, Point, Port, ProxyPicture
from isthmus.viz.web_server import Board, Server
from isthmus.viz.web_sources import Seen
from isthmus.viz.web_world import compose

browser = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
AXE = os.environ.get("ISTHMUS_AXE", "")
"""axe.min.js, of npm's axe-core."""
CHANGES = 5
DOMAIN = "west.example"
DASH = "\u2013"
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


async def violations(page: Page) -> list[str]:
    """What axe finds, where there is one."""
    if not AXE:
        return []
    await page.run(await asyncio.to_thread(Path(AXE).read_text))
    found = await page.run("axe.run().then((all) => all.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]))")
    return [str(each) for each in found or ()]


@browser
async def test_one_page_shows_all_clusters_and_what_happens_to_them(tmp_path):
    async with served(*NAMED) as shown, chromium(tmp_path) as page:
        await page.size(1280, 900)
        await page.scheme("light")
        await page.open(shown.url)
        await page.until("document.querySelectorAll('.region').length === 2")
        await page.until("document.querySelector('a.crossing').innerText.includes('80')")
        assert shown.watched.is_set()
        text = await page.run("document.body.innerText")
        assert "2 of 2 clusters live" in text
        assert "✖ 80.0%" in text, "what is bad is said with a sign, not by its colour alone"
        assert await page.run("document.querySelectorAll('path.wire.crossing').length") == 1
        assert await page.run(
            "document.querySelector('[data-key=\"west/default/deployment/frontend\"] .line').innerText"
        ) == ("calls 14.5/s\n97.2% ok")
        assert await violations(page) == []

        # A cluster that is gone is told at once; its numbers stay, grey and with their age.
        shown.put(NAMED[0], replace(NAMED[1], state="unreachable", reason="No route to host."))
        await page.until("document.querySelector('.region[data-state=unreachable][data-stale]')", seconds=2)
        text = await page.run("document.querySelector('.region[data-state=unreachable]').innerText")
        assert "Does not answer" in text
        assert "old." in text
        assert "No route to host." in text
        assert "2.0/s" in text
        await page.until("document.querySelector('#story').innerText.includes('east cannot be read')")

        # So is an answer that comes from elsewhere.
        moved = call(party("frontend"), party("backend", cluster="east"), answered="default/backend-east")
        shown.put(seen("", changed(WEST, name="west", calls=(moved,))), NAMED[1])
        await page.until("document.querySelector('#story').innerText.includes('answered by east now, was west')")
        assert await violations(page) == []
        assert page.errors == []
        assert {url for url in page.requests if not url.startswith(shown.url)} <= {"about:blank"}


@browser
async def test_everything_can_be_reached_by_keyboard_on_a_phone_and_in_the_dark(tmp_path):
    async with served(*NAMED) as shown, chromium(tmp_path) as page:
        await page.size(360, 740)
        await page.scheme("dark")
        await page.open(shown.url)
        await page.until("document.querySelectorAll('.card').length >= 4")
        assert await page.run("document.documentElement.scrollWidth") <= 360
        for _ in range(30):
            await page.key("Tab")
            if await page.run("document.activeElement.dataset.key === 'west/default/deployment/backend'"):
                break
        spoken = await page.run("document.activeElement.textContent")
        assert spoken.startswith("backend 2 pods 100% · 12.5/s"), "a screen reader is told what is seen"
        assert spoken.endswith(", answers well, deploy in namespace default of cluster west")
        await page.key("Enter")
        await page.until("document.activeElement.id === 'panel-title'")
        await page.until("document.querySelector('#panel').innerText.includes('Certificate ends')")
        panel = await page.run("document.querySelector('#panel').innerText")
        assert "Who calls it" in panel
        ports = await page.run("[...document.querySelectorAll('#panel tbody tr')].map((row) => row.innerText)")
        assert ports == ["8080\t12.5/s\t100%\t9.0\u00a0ms", "\t".join(["9000", *[DASH] * 3])], (
            "what nobody counted is no zero"
        )
        assert HOSTILE in panel
        assert await page.run("document.querySelectorAll('svg.chart').length") == 3
        assert await page.run("document.documentElement.scrollWidth") <= 360
        assert await violations(page) == []
        await page.key("Escape")
        assert await page.run("document.querySelector('#panel').hidden")
        assert await page.run("document.activeElement.dataset.key") == "west/default/deployment/backend"
        await page.run("document.querySelector('a.crossing').click()")
        await page.until("document.querySelector('#panel').innerText.includes('Sync lag')")
        panel = await page.run("document.querySelector('#panel').innerText")
        assert "none: the mirror shows what is there" in panel
        assert await violations(page) == []
        await page.run("location.hash = document.querySelector('a.chip').getAttribute('href')")
        await page.until("document.querySelector('#panel').innerText.includes('standby')")
        assert page.errors == []


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


@browser
async def test_single_requests_are_read_only_while_somebody_looks_at_them(tmp_path):
    tap = "document.querySelector('#tap')"
    said = "document.querySelector('.requests').innerText"
    requests = Requests()
    async with served(*NAMED) as shown, chromium(tmp_path) as page:
        await page.open(f"{shown.url}#node/west%2Fdefault%2Fdeployment%2Fbackend")
        await page.until(f"{tap}.click() ?? true")
        await page.until(f"{said}.includes('`linkerd viz dashboard`')")
        page.errors.clear()  # the browser tells of what is not there

        async with Relay(shown.url, requests).serving("127.0.0.1", 0) as port:
            await page.open(f"http://localhost:{port}/#node/west%2Fdefault%2Fdeployment%2Fbackend")
            await page.until(f"{tap}.innerText === 'Show live requests'")
            assert requests.asked == [], "nobody wished for it"
            await page.run(f"{tap}.focus(); {tap}.click()")
            await page.until(f"{said}.includes('✖ 1') && {said}.includes('1 of 2 pods, at most 20 requests a second')")
            shown.put(seen("", changed(WEST, name="west", calls=())), NAMED[1])
            await page.until("!document.querySelector('#panel').innerText.includes('Who calls it')")
            assert await page.run("document.activeElement.id") == "tap", "what has the focus keeps it"
            assert HOSTILE in await page.run(said)
            assert await page.run("window.hit") is None
            assert await violations(page) == []
            assert requests.followed
            await page.run("location.hash = '#node/' + encodeURIComponent('east/default/deployment/backend')")
            await page.until(f"{said}.includes('No context <script>')")
            assert [(each.cluster, each.domain) for each in requests.asked] == [("", DOMAIN), ("east", "east.example")]
            await until(lambda: not requests.followed)
            assert page.errors == []


@browser
async def test_a_hostile_name_is_text_and_nothing_else(tmp_path):
    nasty = workload(HOSTILE, namespace=HOSTILE, account=HOSTILE)
    here = party(HOSTILE, namespace=HOSTILE)
    calls = (call(here, here, service=HOSTILE), call(here, party("b", cluster=HOSTILE), service=HOSTILE))
    west = changed(WEST, name=HOSTILE, workloads=(nasty,), calls=calls, links=(pages.link(HOSTILE),))
    there = seen(HOSTILE, EAST, state="unreachable", reason=HOSTILE)
    async with served(seen("", west), there) as shown, chromium(tmp_path) as page:
        await page.open(shown.url)
        await page.until("document.querySelectorAll('.card').length >= 2")
        for kind in (".card", "a.crossing"):
            await page.run(f"location.hash = document.querySelector('{kind}').getAttribute('href')")
            await page.until("!document.querySelector('#panel').hidden")
        assert HOSTILE in await page.run("document.body.innerText")
        assert await page.run("document.querySelectorAll('body script, img[src=x]').length") == 0
        assert await page.run("window.hit") is None
        assert page.errors == []


def renumbered(cluster: Seen, numbers: Numbers) -> Seen:
    """The same with other numbers everywhere."""
    assert cluster.picture
    workloads = tuple(changed(w, numbers=w.numbers if w.gateway else numbers) for w in cluster.picture.workloads)
    calls = tuple(changed(each, numbers=numbers) for each in cluster.picture.calls)
    return replace(cluster, picture=changed(cluster.picture, workloads=workloads, calls=calls))


@browser
async def test_200_workloads_in_three_clusters_do_not_stutter_and_nothing_moves(tmp_path):
    where = "JSON.stringify([...document.querySelectorAll('.card')].map((c) => [c.offsetLeft, c.offsetTop]))"
    async with served(*pages.large()) as shown, chromium(tmp_path) as page:
        await page.size(1440, 900)
        await page.open(shown.url)
        await page.until("document.querySelectorAll('.card').length >= 201")
        await page.until("document.querySelectorAll('path.wire').length > 150")
        before = await page.run(where)
        async with page.tasks() as tasks:
            for share in range(50, 50 + CHANGES):
                numbers = changed(pages.GOOD, rps=99.0, latency_ms_p99=4321.0, success=share / 100)
                shown.put(*(renumbered(each, numbers) for each in pages.large()))
                await page.until(f"document.querySelector('.card .line').innerText.includes('{share}.0%')")
        assert await page.run(where) == before, "numbers change, places do not"
        print(f"CPU of the main thread: {sum(tasks) / CHANGES:.0f} ms a change, at most {max(tasks):.0f} ms at once")
        assert sum(tasks) / CHANGES < 100
        assert max(tasks) < 200
        assert page.errors == []


@browser
async def test_when_the_server_is_gone_the_page_says_so_and_comes_back_with_it(tmp_path):
    async with chromium(tmp_path) as page:
        async with served(*NAMED) as shown:
            await page.open(shown.url)
            await page.until("document.querySelectorAll('.card').length >= 4")
        await page.until("!document.querySelector('#lost').hidden", seconds=8)
        assert "numbers are those of before" in await page.run("document.querySelector('#lost').innerText")


async def test_a_page_of_another_site_gets_nothing():
    async with served(*NAMED) as shown, aiohttp.ClientSession() as http:
        async with http.get(shown.url, headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403
        async with http.get(shown.url) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            body = await answer.text()
        assert "http://" not in body
        assert "https://" not in body
        async with http.get(f"{shown.url}api/workload?query=nonsense") as answer:
            assert "refused" in await answer.json()
