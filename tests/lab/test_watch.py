"""A watch cache is what the API server has, through ends, errors and forgotten versions."""

import asyncio
import json
import ssl
from contextlib import asynccontextmanager

from aiohttp import web

from isthmus.lab.access import Access
from isthmus.lab.client import CONFIG_MAPS, Client, GoneError
from isthmus.lab.watch import Index, Watch


def item(name, version, *, uid=None, **fields):
    metadata = {"namespace": "default", "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, **fields}


class Server:
    """An API server that says exactly what a test has written down for it, one answer per request."""

    def __init__(self):
        self.lists, self.watches, self.requests = [], [], []
        self.exhausted = asyncio.Event()
        self.closing = asyncio.Event()

    async def answer(self, request):
        if "watch" not in request.query:
            self.requests.append("list")
            version, items = self.lists.pop(0)
            return web.json_response(
                {"kind": "ConfigMapList", "metadata": {"resourceVersion": version}, "items": items}
            )
        self.requests.append(f"watch {request.query['resourceVersion']}")
        response = web.StreamResponse()
        await response.prepare(request)
        if not self.watches:
            self.exhausted.set()
            await self.closing.wait()
            return response
        for kind, thing in self.watches.pop(0):
            await response.write(json.dumps({"type": kind, "object": thing}).encode() + b"\n")
        return response


@asynccontextmanager
async def watching(server):
    """The changes a watch reports while the server's script is played to its end."""
    app = web.Application()
    app.router.add_get("/api/v1/configmaps", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with Client(Access(f"http://127.0.0.1:{port}", ssl.create_default_context())) as client:
            watch, changes = Watch(client, CONFIG_MAPS), []
            watch.subscribe(changes.append)
            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                task = group.create_task(watch.run())
                try:
                    await server.exhausted.wait()
                    yield watch, [(change.key[1], change.old is not None, change.new is not None) for change in changes]
                finally:
                    server.closing.set()
                    task.cancel()
    finally:
        server.closing.set()
        await runner.cleanup()


ADDED, MODIFIED, DELETED = (False, True), (True, True), (True, False)


async def test_events_are_applied_and_a_watch_that_ends_is_resumed_where_it_was():
    server = Server()
    server.lists = [("5", [item("a", 5)])]
    server.watches = [
        [("ADDED", item("b", 6)), ("MODIFIED", item("a", 7, data={"k": "v"}))],
        [("DELETED", item("b", 8))],
    ]
    async with watching(server) as (watch, changes):
        assert changes == [("a", *ADDED), ("b", *ADDED), ("a", *MODIFIED), ("b", *DELETED)]
        assert [found["data"] for found in watch] == [{"k": "v"}]
    assert server.requests == ["list", "watch 5", "watch 7", "watch 8"]


async def test_a_bookmark_moves_the_version_on():
    server = Server()
    server.lists = [("5", [])]
    server.watches = [[("BOOKMARK", {"metadata": {"resourceVersion": "90"}})]]
    async with watching(server) as (_, changes):
        assert changes == []
    assert server.requests[-1] == "watch 90"


async def test_after_a_forgotten_version_what_vanished_meanwhile_is_reported_as_deleted():
    server = Server()
    server.lists = [("5", [item("a", 4), item("b", 5), item("c", 5)]), ("90", [item("b", 5), item("c", 80, uid="new")])]
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    server.watches = [[("ERROR", gone)]]
    async with watching(server) as (watch, changes):
        assert changes[3:] == [("a", *DELETED), ("c", *DELETED), ("c", *ADDED)]
        assert {found["metadata"]["name"] for found in watch} == {"b", "c"}
    assert server.requests == ["list", "watch 5", "list", "watch 90"]


async def test_our_own_write_shows_at_once_and_an_older_answer_changes_nothing():
    server = Server()
    server.lists = [("5", [item("a", 5)])]
    async with watching(server) as (watch, _):
        watch.observe(item("b", 6))
        assert watch.get("b", "default")
        watch.observe(item("a", 3, data={"stale": "yes"}))
        assert "data" not in watch.get("a", "default")


async def test_an_index_follows_its_watch():
    server = Server()
    server.lists = [("5", [item("a", 5, kind="x"), item("b", 5, kind="x")])]
    async with watching(server) as (watch, _):
        index = Index(watch, lambda found: (found["kind"],))
        assert [found["metadata"]["name"] for found in index["x"]] == ["a", "b"]
        watch.observe(item("a", 6, kind="y"))
        assert [found["metadata"]["name"] for found in index["x"]] == ["b"]
        assert [found["metadata"]["name"] for found in index["y"]] == ["a"]
        assert index["none"] == []


def test_the_error_for_a_forgotten_version_is_told_from_others():
    from isthmus.lab.client import api_error

    assert isinstance(api_error({"code": 410}), GoneError)
    assert not isinstance(api_error({"code": 500}), GoneError)
