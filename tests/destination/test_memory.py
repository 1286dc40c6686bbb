"""What linked clusters said is known to the next life of this process, for as long as it is of use."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from tests.destination.test_remote import WEB, following
from tests.kube import api as fake
from tests.kube.waiting import until
from tests.mesh import objects as make

from isthmus import names
from isthmus.destination.memory import Memory
from isthmus.kube.client import connect
from isthmus.kube.meta import Meta
from isthmus.mesh.state import Remote, State
from isthmus.mesh.workloads import workload

CONFIG_MAPS = "/api/v1/namespaces/linkerd/configmaps"
OTHER = ("east", "shop", "other")


def said(*hosts: str) -> Remote:
    found = {host: (make.endpoint(host, f"web-{host}"), make.pod(f"web-{host}", host)) for host in hosts}
    slices = (make.endpoint_slice("web", *(endpoint for endpoint, _ in found.values())),)
    return Remote(slices, {pod.metadata.uid: workload(pod) for _, pod in found.values()})


def linked(*, uid: str = "first") -> State:
    state = make.state()
    relink(state, uid)
    return state


def relink(state: State, uid: str) -> None:
    link = make.link("east")
    state.set_link(state.link("east"), msgspec.structs.replace(link, metadata=Meta("linkerd-east", "m", uid)))


@asynccontextmanager
async def remembering(local: fake.Api, state: State, unclaimed_seconds: float = 300) -> AsyncIterator[Memory]:
    """One life of the process."""
    async with connect(fake.kubeconfig(local.url)) as client, asyncio.TaskGroup() as group:
        memory = Memory(client, state, write_seconds=0, unclaimed_seconds=unclaimed_seconds)
        task = group.create_task(memory.run(asyncio.sleep(0)))
        yield memory
        task.cancel()


@asynccontextmanager
async def cluster() -> AsyncIterator[fake.Api]:
    """As `linkerd install` leaves it."""
    async with fake.running() as local:
        await local.put(CONFIG_MAPS, names.REMOTE_ENDPOINTS_CONFIG_MAP, metadata={"namespace": "linkerd"})
        yield local


def written(local: fake.Api) -> set[str]:
    found = local.objects.get(CONFIG_MAPS, {}).get(names.REMOTE_ENDPOINTS_CONFIG_MAP, {})
    return set(found.get("binaryData") or ())


async def test_the_next_life_of_the_process_knows_what_a_cluster_said_in_the_last_one() -> None:
    async with cluster() as local:
        async with remembering(local, linked()) as memory:
            memory.learned(WEB, said("10.244.0.6"))
            memory.learned(WEB, said("10.244.0.7"))
            await until(lambda: written(local))
            assert memory.recall(OTHER) is None
        async with remembering(local, linked()) as memory:
            await until(lambda: memory.recall(WEB))
            assert memory.recall(WEB) == said("10.244.0.7")


async def test_a_start_while_the_cluster_is_away_loses_nobody_until_no_proxy_asks_any_more() -> None:
    async with cluster() as local, fake.running() as east:
        async with following(local, east, remembering=True) as before:
            await before.web(("web-1", "10.244.0.7"))
            await before.credentials(east.url)
            before.remotes.want(WEB)
            await until(lambda: written(local))
        east.refuse = (503, "ServiceUnavailable", "gone")
        async with following(local, east, remembering=True, first_answer_seconds=0.05, keep_seconds=0.01) as after:
            after.remotes.want(WEB)
            assert await after.known() == ["web-1 web"]
            after.remotes.unwant(WEB)
            await until(lambda: not written(local))


async def test_the_word_of_another_replica_counts_also_when_it_comes_later() -> None:
    async with (
        cluster() as local,
        fake.running() as east,
        following(local, east, remembering=True, first_answer_seconds=0.02) as here,
    ):
        here.remotes.want(WEB)
        assert await here.known() == []
        async with remembering(local, here.state) as other:
            other.learned(WEB, said("10.244.0.7"))
            assert await here.known() == ["web-10.244.0.7 default"]


async def test_what_was_said_through_another_link_of_that_name_is_not_believed() -> None:
    async with cluster() as local:
        async with remembering(local, linked(uid="first")) as memory:
            memory.learned(WEB, said("10.244.0.7"))
            await until(lambda: written(local))
        state = linked(uid="second")
        async with remembering(local, state) as memory:
            relink(state, "first")
            await until(lambda: memory.recall(WEB))
            relink(state, "second")
            assert memory.recall(WEB) is None


async def test_what_no_proxy_asks_for_and_what_has_no_link_is_forgotten_but_not_what_another_replica_follows() -> None:
    async with cluster() as local, remembering(local, linked()) as other:
        state = linked()
        async with remembering(local, state) as memory:
            for each in (memory, other):
                each.learned(WEB, said("10.244.0.7"))
            memory.learned(OTHER, said("10.244.0.8"))
            await until(lambda: written(local) == {"east_shop_web", "east_shop_other"})
            memory.released(OTHER)
            await until(lambda: written(local) == {"east_shop_web"})
            seen: list[set[str]] = []

            def written_again() -> bool:
                seen.append(written(local))
                return set() in seen and seen[-1] == {"east_shop_web"}

            memory.released(WEB)
            await until(written_again)


async def test_what_nobody_asks_for_after_a_start_is_forgotten_and_so_is_a_cluster_that_is_not_linked() -> None:
    async with cluster() as local:
        state = linked()
        async with remembering(local, state) as memory:
            for key in (WEB, OTHER):
                memory.learned(key, said("10.244.0.7"))
            await until(lambda: len(written(local)) == 2)
        async with remembering(local, state, unclaimed_seconds=0.05) as memory:
            memory.learned(WEB, said("10.244.0.8"))
            await until(lambda: written(local) == {"east_shop_web"})
            state.set_link(state.link("east"), None)
            memory.links_changed()
            await until(lambda: not written(local))


@pytest.mark.parametrize(("limit", "value"), [("MOST_BYTES", 1200), ("MOST_ENDPOINTS", 200)])
async def test_more_than_a_config_map_holds_is_said_and_what_fits_is_kept(
    limit: str, value: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(f"isthmus.destination.memory.{limit}", value)
    many = said(*(f"10.244.{number}.{number * 7 % 251}" for number in range(250)))
    async with cluster() as local, remembering(local, linked()) as memory:
        for key in (OTHER, WEB):
            memory.learned(key, said("10.244.0.7"))
        await until(lambda: written(local) == {"east_shop_web", "east_shop_other"})
        memory.learned(WEB, many)
        await until(lambda: written(local) == {"east_shop_other"})
        assert "there is more than fits into a ConfigMap, such as east_shop_web" in caplog.text
        memory.learned(OTHER, said("10.244.0.9"))
        await until(lambda: memory.recall(OTHER) == said("10.244.0.9"))
        memory.learned(WEB, said("10.244.0.7"))
        await until(lambda: written(local) == {"east_shop_web", "east_shop_other"})


async def test_a_config_map_that_may_not_be_written_is_named_once_with_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with cluster() as local, remembering(local, linked()) as memory:
        await local.watching.wait()
        local.refuse = (403, "Forbidden", "no")
        memory.learned(WEB, said("10.244.0.7"))
        before = len(local.requests)
        await until(lambda: len(local.requests) > before + 3)
        assert caplog.text.count("Apply what `linkerd install` prints again") == 1
        local.refuse = None
        await until(lambda: written(local) == {"east_shop_web"})
