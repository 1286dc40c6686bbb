"""The local copy: complete, current, and right again after every kind of gap."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.kube import api as fake
from tests.kube.waiting import until

from isthmus.kube import kinds, watch
from isthmus.kube.client import connect
from isthmus.kube.meta import key_of
from isthmus.resources.core import Service

SERVICES = kinds.plain("v1", "Service", "services")
PATH = "/api/v1/services"


@asynccontextmanager
async def following(api: fake.Api) -> AsyncIterator[tuple[watch.Informer[kinds.Object], asyncio.Queue[str]]]:
    """An informer, and what it told, one line for each change."""
    told: asyncio.Queue[str] = asyncio.Queue()

    def tell(old: kinds.Object | None, new: kinds.Object | None) -> None:
        item = new or old
        verb = "changed" if old and new else "added" if new else "removed"
        told.put_nowait(f"{verb} {key_of(item)[1]}")

    async with connect(fake.kubeconfig(api.url)) as client, asyncio.TaskGroup() as group:
        informer = watch.Informer(client, SERVICES)
        informer.on_change(tell)
        task = group.create_task(informer.run())
        yield informer, told
        task.cancel()


async def heard(told: asyncio.Queue[str], count: int) -> list[str]:
    async with asyncio.timeout(5):
        return [await told.get() for _ in range(count)]


@pytest.fixture
async def api() -> AsyncIterator[fake.Api]:
    async with fake.running() as running:
        yield running


async def test_what_exists_is_listed_and_changes_follow(api: fake.Api) -> None:
    await api.put(PATH, "a")
    async with following(api) as (informer, told):
        assert await heard(told, 1) == ["added a"]
        assert informer.synced.is_set()
        await api.put(PATH, "b")
        await api.put(PATH, "a", spec={"x": 1})
        await api.remove(PATH, "b")
        assert await heard(told, 3) == ["added b", "changed a", "removed b"]
        assert set(informer.store) == {("", "a")}


async def test_a_broken_watch_continues_where_it_was_without_a_new_list(api: fake.Api) -> None:
    await api.put(PATH, "a")
    async with following(api) as (_, told):
        await heard(told, 1)
        await api.watching.wait()
        await api.cut()
        await api.put(PATH, "b")
        assert await heard(told, 1) == ["added b"]
    assert len([line for line in api.requests if "watch" not in line]) == 1


async def test_deletions_during_a_gap_in_history_are_noticed(api: fake.Api) -> None:
    await api.put(PATH, "a")
    await api.put(PATH, "b")
    async with following(api) as (informer, told):
        await heard(told, 2)
        await api.watching.wait()
        api.refuse = (500, "InternalError", "down")
        await api.cut()
        await api.remove(PATH, "a")
        await api.put(PATH, "c")
        await api.forget()
        api.refuse = None
        assert sorted(await heard(told, 2)) == ["added c", "removed a"]
        assert set(informer.store) == {("", "b"), ("", "c")}


async def test_last_known_objects_stay_while_the_api_is_away(api: fake.Api) -> None:
    await api.put(PATH, "a")
    async with following(api) as (informer, told):
        await heard(told, 1)
        await api.watching.wait()
        api.refuse = (503, "ServiceUnavailable", "etcd has no leader")
        await api.cut()
        await until(lambda: "etcd has no leader" in str(informer.error))
        assert set(informer.store) == {("", "a")}
        api.refuse = None
        await api.put(PATH, "b")
        assert await heard(told, 1) == ["added b"]
        assert informer.error is None


async def test_a_late_handler_hears_of_what_is_already_there(api: fake.Api) -> None:
    await api.put(PATH, "a")
    async with following(api) as (informer, told):
        await heard(told, 1)
        late: list[str] = []
        informer.on_change(lambda old, new: late.append(key_of(new)[1]))
        assert late == ["a"]


async def test_selectors_go_to_the_server(api: fake.Api) -> None:
    async with connect(fake.kubeconfig(api.url)) as client, asyncio.TaskGroup() as group:
        informer = watch.Informer(client, SERVICES, namespace="shop", labels="app=web", fields="metadata.name=x")
        task = group.create_task(informer.run())
        await until(lambda: len(api.requests) == 2)
        assert informer.synced.is_set()
        task.cancel()
    for line in api.requests:
        assert line.startswith(
            "GET /api/v1/namespaces/shop/services?labelSelector=app%3Dweb&fieldSelector=metadata.name%3Dx"
        )
    assert "allowWatchBookmarks=true" in api.requests[1]


async def test_an_optional_kind_that_does_not_exist_yet_has_no_objects(api: fake.Api) -> None:
    api.refuse = (404, "NotFound", "the server could not find the requested resource")
    async with connect(fake.kubeconfig(api.url)) as client, asyncio.TaskGroup() as group:
        informer = watch.Informer(client, SERVICES, optional=True)
        task = group.create_task(informer.run())
        await until(informer.synced.is_set)
        await api.put(PATH, "a")
        api.refuse = None
        await until(lambda: ("", "a") in informer.store)
        task.cancel()


async def test_an_optional_kind_that_may_not_be_read_holds_nobody_up_and_is_followed_once_it_may(
    api: fake.Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.refuse = (403, "Forbidden", "services is forbidden")
    async with connect(fake.kubeconfig(api.url)) as client, asyncio.TaskGroup() as group:
        informer = watch.Informer(client, SERVICES, optional=True, longest_delay=0.05)
        needed = watch.Informer(client, SERVICES, longest_delay=0.05)
        tasks = [group.create_task(each.run()) for each in (informer, needed)]
        await until(informer.synced.is_set)
        await until(lambda: needed.error is not None)
        assert not needed.synced.is_set()
        assert "forbidden" in caplog.text, "it is said all the same"
        await api.put(PATH, "a")
        api.refuse = None
        await until(lambda: ("", "a") in informer.store)
        for task in tasks:
            task.cancel()


async def test_an_object_that_cannot_be_read_does_not_hide_the_others(
    api: fake.Api, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(fake.kubeconfig(api.url)) as client, asyncio.TaskGroup() as group:
        informer = watch.Informer(client, kinds.Kind("v1", "Service", "services", Service))
        task = group.create_task(informer.run())
        await api.put(PATH, "odd", spec={"ports": "not a list"})
        await api.put(PATH, "good")
        await until(lambda: ("", "good") in informer.store)
        await api.put(PATH, "odd", spec={"ports": "still not a list"})
        await api.put(PATH, "last")
        await until(lambda: ("", "last") in informer.store)
        task.cancel()
    assert "cannot be read" in caplog.text
