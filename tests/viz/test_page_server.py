"""The page over HTTP: who gets it, from when on clusters are read for it, and what the command fetches ahead."""

import asyncio

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.kube.waiting import until
from tests.viz.serving import NAMED, Requests, served

from isthmus.cli.dashboard_relay import Relay
from isthmus.viz import web_server


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


async def test_clusters_are_read_from_when_the_page_is_asked_for_and_a_while_after_the_last_one_left(monkeypatch):
    monkeypatch.setattr(web_server, "LINGERS", 0.05)
    later = asyncio.Event()
    async with served(*NAMED) as shown, aiohttp.ClientSession() as http:
        async with http.get(f"{shown.url}icon.svg"):
            assert not shown.watched.is_set()
        async with http.get(shown.url):
            assert shown.watched.is_set(), "its numbers may be there before its scripts"
        await until(lambda: not shown.watched.is_set())
        async with http.get(f"{shown.url}api/events") as events:
            await events.content.readline()
            async with http.get(shown.url):
                pass
            asyncio.get_running_loop().call_later(2 * web_server.LINGERS, later.set)
            await later.wait()
            assert shown.watched.is_set(), "somebody looks"
        await until(lambda: not shown.watched.is_set())


async def test_the_command_fetches_the_pages_files_before_the_browser_asks():
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        body = {"/": '<link href="/a.js"><img src="/gone.svg"><a href="//evil.example/b.js">', "/a.js": "let a;"}
        return web.Response(text=body.get(request.path), status=200 if request.path in body else 404)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with (
        TestServer(app) as upstream,
        Relay(str(upstream.make_url("/")), Requests()).serving("127.0.0.1", 0) as port,
    ):
        await until(lambda: asked == ["/", "/a.js", "/gone.svg"])
        async with aiohttp.ClientSession(f"http://localhost:{port}") as http:
            for path, status in (("/a.js", 200), ("/", 200), ("/gone.svg", 404)):
                async with http.get(path) as said:
                    assert said.status == status
                    assert path != "/a.js" or await said.text() == "let a;"
    assert asked[3:] == ["/", "/gone.svg"], "what is kept is not asked for again, the page itself is"
