"""What the admin port of a control-plane process answers."""

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from isthmus.kube import admin


def page(query):
    if "bad" in query:
        raise ValueError("that is no question")
    return b'{"you asked": "%s"}' % query["q"].encode()


@pytest.fixture
async def get():
    registry = CollectorRegistry()
    Counter("links", "known", registry=registry).inc(3)
    waiting = ["for the caches"]
    async with (
        admin.serve(lambda: waiting[0], address="127.0.0.1:0", registry=registry, pages={"/page": page}) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):

        async def ask(path, *, ready=False):
            waiting[0] = None if ready else "for the caches"
            async with session.get(path) as reply:
                return reply.status, await reply.text()

        yield ask


async def test_it_lives_before_it_is_ready_and_says_what_it_waits_for(get):
    assert await get("/live") == (200, "live\n")
    assert await get("/ready") == (503, "for the caches\n")
    assert await get("/ready", ready=True) == (200, "ready\n")


async def test_metrics_are_the_registrys(get):
    status, text = await get("/metrics")
    assert status == 200
    assert "links_total 3.0" in text


async def test_a_process_has_pages_of_its_own(get):
    assert await get("/page?q=a%20b") == (200, '{"you asked": "a b"}')
    assert await get("/page?bad=1") == (400, "that is no question\n")
    assert (await get("/nothing"))[0] == 404
