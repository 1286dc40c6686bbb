"""How much of the traffic leaves a group of endpoints, and how it comes back: what Envoy makes of the shares."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.envoy.harness import Mesh, Pod, mesh, until
from tests.envoy.test_failover import Load, backend
from tests.envoy.test_split import REQUESTS, requests

from isthmus.envoy import outbound
from isthmus.mesh import failback
from isthmus.mesh.model import Endpoint, OutboundCluster

pytestmark = pytest.mark.envoy


def missing(running: Mesh, count: int) -> tuple[Endpoint, ...]:
    """Pods that are not ready: nothing listens there, and whoever is sent there fails."""
    absent = Pod("absent", running.new_address(), running.authority.identity("absent"), Path())
    return tuple(replace(absent.endpoint(port=8000 + number), ready=False) for number in range(count))


async def accepted(running: Mesh, client: Pod, cluster: OutboundCluster) -> None:
    """Tell a proxy who answers now, and wait until it has heard."""
    running.put(outbound.load_assignment(cluster), node=client.name)
    await until(lambda: running.ads.heard(client.name), "the client's answer")


async def test_traffic_spills_over_in_proportion_once_less_than_half_is_ready(tmp_path: Path) -> None:
    async with mesh(tmp_path) as running, backend(running, "here") as here, backend(running, "there") as there:
        vip = running.new_address()
        client = await running.pod("client", vips=(vip,))
        standby = (there.pod.endpoint(),)
        cluster = running.route(client, vip, (here.pod.endpoint(), *missing(running, 1)), standby)
        await requests(f"http://{vip}/")
        assert (here.app.served, there.app.served) == (REQUESTS, 0), "half of it is ready"
        lost = replace(cluster, priorities=((here.pod.endpoint(), *missing(running, 3)), standby))
        await accepted(running, client, lost)
        await requests(f"http://{vip}/")
        assert abs(there.app.served / REQUESTS - 0.5) < 0.08, "a quarter of it is ready"
        none = replace(cluster, priorities=(missing(running, 3), standby))
        await accepted(running, client, none)
        before = there.app.served
        await requests(f"http://{vip}/")
        assert there.app.served - before == REQUESTS


async def test_what_was_away_gets_its_traffic_back_step_by_step(tmp_path: Path) -> None:
    async with mesh(tmp_path) as running, backend(running, "here") as here, backend(running, "there") as there:
        vip = running.new_address()
        client = await running.pod("client", vips=(vip,))
        both = running.route(client, vip, (here.pod.endpoint(),), (there.pod.endpoint(),))
        away = replace(both, priorities=((), both.priorities[1]))
        now, table = failback.following(away, both), list[tuple[int, int]]()
        await requests(f"http://{vip}/")
        while not table or table[-1][0] < 100:
            await accepted(running, client, now)
            before = here.app.served
            await requests(f"http://{vip}/")
            table.append((failback.levels(now)[0], round(100 * (here.app.served - before) / REQUESTS)))
            now = failback.advanced(now)
        print("percent wanted and seen:", *table)
        assert [wanted for wanted, _ in table] == [20, 40, 60, 80, 100]
        assert all(abs(wanted - seen) <= 8 for wanted, seen in table)
        assert table[-1][1] == 100


async def test_a_backend_that_comes_and_goes_fails_nothing_and_loses_no_connection(tmp_path: Path) -> None:
    async with mesh(tmp_path) as running, backend(running, "here") as here, backend(running, "there") as there:
        vip = running.new_address()
        client = await running.pod("client", vips=(vip,))
        ready = running.route(client, vip, (here.pod.endpoint(),), (there.pod.endpoint(),))
        gone = replace(ready, priorities=((replace(here.pod.endpoint(), ready=False),), ready.priorities[1]))
        now = ready
        async with Load(f"http://{vip}/") as load:
            await load.more(20)
            for wanted in [gone, ready] * 5:
                now = failback.following(now, wanted)
                await accepted(running, client, now)
                await load.more(60)
        assert set(load.answers) == {"200 "}
        assert min(here.app.served, there.app.served) > 0
        opened = await running.stat(client, f"cluster.{ready.name}.upstream_cx_total")
        assert opened == 2, "one connection to each, and each was kept"


async def test_several_standbys_help_in_their_order_each_with_what_is_ready_of_it(tmp_path: Path) -> None:
    async with (
        mesh(tmp_path) as running,
        backend(running, "here") as here,
        backend(running, "first") as first,
        backend(running, "second") as second,
    ):
        vip = running.new_address()
        client = await running.pod("client", vips=(vip,))
        some = [(each.pod.endpoint(), *missing(running, 3)) for each in (here, first)]
        cluster = running.route(client, vip, *some, (second.pod.endpoint(),))
        await requests(f"http://{vip}/")
        served = [round(100 * each.app.served / REQUESTS) for each in (here, first, second)]
        assert abs(served[0] - 50) < 8, "a quarter of it is ready"
        assert abs(served[1] - 50) < 8, "so it is of the next, which is enough for the rest"
        assert served[2] == 0
        few = [(each.pod.endpoint(), *missing(running, 9)) for each in (here, first)]
        await accepted(running, client, replace(cluster, priorities=(*few, cluster.priorities[2])))
        before = second.app.served
        await requests(f"http://{vip}/")
        assert abs((second.app.served - before) / REQUESTS - 0.6) < 0.08, "20 % each, and the last has the rest"
