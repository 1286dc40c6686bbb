"""Pages of their own on the admin port of control-plane processes (the common ones: test_process.py)."""

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


async def test_a_process_has_pages_of_its_own(get):
    assert await get("/page?q=a%20b") == (200, '{"you asked": "a b"}')
    assert await get("/page?bad=1") == (400, "that is no question\n")
    assert (await get("/nothing"))[0] == 404
