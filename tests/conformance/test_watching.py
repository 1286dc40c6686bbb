"""Watches. From "Kubernetes API Concepts", "Efficient detection of changes", "Watch bookmarks", "Streaming lists"."""

from typing import Any

from tests.conformance import shapes
from tests.conformance.api import TABLE, Api
from tests.conformance.definitions import define, thing, things

Object = dict[str, Any]


async def test_a_watch_from_the_version_of_a_list_hears_of_everything_after_it(api: Api) -> None:
    path, only = api.path("configmaps"), {"labelSelector": "suite=watch"}
    labels = {"suite": "watch"}
    await api.create(path, shapes.config("before", labels=labels))
    version = (await api.get(path, **only))["metadata"]["resourceVersion"]
    await api.create(path, shapes.config("a", labels=labels))
    await api.patch(api.path("configmaps", "a"), {"data": {"a": "2"}})
    async with api.watch(path, resourceVersion=version, **only) as watch:
        created, changed = await watch.next(), await watch.next()
        assert (created["type"], created["object"]["data"]) == ("ADDED", {"a": "1"})
        assert (changed["type"], changed["object"]["data"]) == ("MODIFIED", {"a": "2"})
        await api.call("DELETE", api.path("configmaps", "a"))
        deleted = await watch.next()
        assert (deleted["type"], deleted["object"]["data"]) == ("DELETED", {"a": "2"})
        assert deleted["object"]["metadata"]["resourceVersion"] != changed["object"]["metadata"]["resourceVersion"]
        after = deleted["object"]["metadata"]["resourceVersion"]
    async with api.watch(path, resourceVersion=after, **only) as watch:
        await api.create(path, shapes.config("b", labels=labels))
        assert await watch.names(1) == [("ADDED", "b")]


async def test_a_watch_without_a_version_begins_with_what_there_is(api: Api) -> None:
    """API Concepts, "Semantics for watch": start at any, and at most recent, with synthetic added events."""
    only = {"labelSelector": "suite=watch"}
    for name in ("a", "b"):
        await api.create(api.path("configmaps"), shapes.config(name, labels={"suite": "watch"}))
    there = {("ADDED", "a"), ("ADDED", "b")}
    for name, versions in (("c", {}), ("d", {"resourceVersion": "0"})):
        async with api.watch(api.path("configmaps"), **versions, **only) as watch:
            assert set(await watch.names(len(there))) == there
            await api.create(api.path("configmaps"), shapes.config(name, labels={"suite": "watch"}))
            assert await watch.names(1) == [("ADDED", name)]
        there |= {("ADDED", name)}


async def test_leaving_the_selection_is_a_deletion_and_entering_it_an_addition(api: Api) -> None:
    """API Concepts: a watch with a selector is a view of the objects that match."""
    await api.create(api.path("configmaps"), shapes.config("a", labels={"x": "1"}))
    path = api.path("configmaps", "a")
    async with api.watch(api.path("configmaps"), labelSelector="x=1") as watch:
        assert await watch.names(1) == [("ADDED", "a")]
        for value, expected in (("2", "DELETED"), ("1", "ADDED")):
            await api.patch(path, {"metadata": {"labels": {"x": value}}})
            assert await watch.names(1) == [(expected, "a")]
        await api.patch(path, {"data": {"a": "2"}})
        assert await watch.names(1) == [("MODIFIED", "a")]


async def test_one_object_can_be_watched_by_its_name(api: Api) -> None:
    """Field Selectors: metadata.name."""
    async with api.watch(api.path("configmaps"), fieldSelector="metadata.name=b") as watch:
        for name in ("a", "b"):
            await api.create(api.path("configmaps"), shapes.config(name))
        assert await watch.names(1) == [("ADDED", "b")]


async def test_a_streamed_list_says_where_it_ends(api: Api) -> None:
    """API Concepts, "Streaming lists": sendInitialEvents, and a bookmark annotated k8s.io/initial-events-end."""
    only = {"labelSelector": "suite=stream"}
    for name in ("a", "b"):
        await api.create(api.path("configmaps"), shapes.config(name, labels={"suite": "stream"}))
    asked = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watch(api.path("configmaps"), **asked, **only) as watch:
        events = [await watch.next() for _ in range(3)]
        assert {event["object"]["metadata"]["name"] for event in events[:2]} == {"a", "b"}
        assert [event["type"] for event in events] == ["ADDED", "ADDED", "BOOKMARK"]
        metadata = events[2]["object"]["metadata"]
        assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
        version = metadata["resourceVersion"]
        await api.create(api.path("configmaps"), shapes.config("c", labels={"suite": "stream"}))
        assert await watch.names(1) == [("ADDED", "c")]
    async with api.watch(api.path("configmaps"), resourceVersion=version, **only) as watch:
        assert await watch.names(1) == [("ADDED", "c")]


async def test_initial_events_are_asked_for_in_one_way_only(api: Api) -> None:
    """ListOptions: sendInitialEvents requires resourceVersionMatch to be set, to NotOlderThan."""
    path = api.path("configmaps")
    (await api.call("GET", path, watch="true", sendInitialEvents="true")).refused(422, "Invalid")
    asked = {"watch": "true", "sendInitialEvents": "true", "resourceVersionMatch": "Exact"}
    (await api.call("GET", path, **asked)).refused(422, "Invalid")


async def test_a_list_of_a_certain_moment(api: Api) -> None:
    """API Concepts, "resourceVersionMatch": Exact, and what it may not be combined with."""
    first = await api.create(api.path("configmaps"), shapes.config("a", labels={"suite": "exact"}))
    await api.patch(api.path("configmaps", "a"), {"data": {"a": "2"}})
    version = first["metadata"]["resourceVersion"]
    asked = {"labelSelector": "suite=exact", "resourceVersion": version, "resourceVersionMatch": "Exact"}
    found = await api.get(api.path("configmaps"), **asked)
    assert found["metadata"]["resourceVersion"] == version
    assert [item["data"] for item in found["items"]] == [{"a": "1"}]
    (await api.call("GET", api.path("configmaps"), resourceVersionMatch="Exact")).refused(422, "Invalid")


async def test_a_watch_ends_when_its_time_is_up(api: Api) -> None:
    """ListOptions: timeoutSeconds limits the duration of the call, regardless of any activity."""
    async with api.watch(api.path("configmaps"), timeoutSeconds="1", fieldSelector="metadata.name=none") as watch:
        assert await watch.response.content.read() == b""


async def test_a_version_from_before_all_memory_is_gone(api: Api) -> None:
    """API Concepts, "410 Gone responses": as the answer's code, or as an ERROR event in the watch."""
    definition = await define(api)
    await api.create(things(api, definition), thing("a", group=definition["spec"]["group"]))
    async with api.session.get(f"{api.server.url}{things(api, definition)}?watch=true&resourceVersion=1") as response:
        status: Object = await response.json(content_type=None)
        if response.status == 200:
            assert status["type"] == "ERROR"
            status = status["object"]
        assert (status["code"], status["reason"], status["kind"]) == (410, "Expired", "Status")


async def test_a_watch_can_be_had_as_tables(api: Api) -> None:
    """API Concepts, "Receiving resources as Tables"."""
    url = f"{api.server.url}{api.path('configmaps')}?watch=true&fieldSelector=metadata.name%3Da"
    await api.create(api.path("configmaps"), shapes.config("a"))
    async with api.session.get(url, headers={"Accept": TABLE}) as response:
        line = await response.content.readline()
    assert b'"kind":"Table"' in line
    assert b'"cells":["a",' in line
