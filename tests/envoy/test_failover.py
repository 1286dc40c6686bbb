"""kill -9 under load: what can be repeated is repeated elsewhere, and nobody notices."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

import aiohttp
import pytest
from tests.envoy.apps import Echo, echo
from tests.envoy.balancer import balancer, hole
from tests.envoy.harness import APP_PORT, Mesh, Pod, mesh

from isthmus import names
from isthmus.envoy import gateway as gateways
from isthmus.envoy import protocol
from isthmus.mesh.model import Address, ExportCluster

pytestmark = pytest.mark.envoy

CALLERS = 16
BEFORE = AFTER = 400
"""Answers to wait for before and after something is killed."""
NOTICED = 1.15 * protocol.PING_INTERVAL + protocol.PING_TIMEOUT
"""Seconds until a connection that fell silent is given up: Envoy adds up to 15 % to the interval."""
ONCE_MORE = 1.0
"""Seconds for which a request may wait for the same gateway again, if it is repeated before the gateway's endpoint is
set aside: a matter of microseconds, so of few requests."""
BUSY = 0.3


@dataclass
class Backend:
    pod: Pod
    app: Echo
    stack: AsyncExitStack

    async def kill_application(self) -> None:
        await self.stack.aclose()

    async def kill_pod(self) -> None:
        self.pod.kill()
        await self.stack.aclose()


@dataclass
class Load:
    """Callers that ask again as soon as they are answered."""

    url: str
    method: str = "GET"
    answers: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._call()) for _ in range(CALLERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def more(self, count: int) -> None:
        goal = self.answers.total() + count
        async with asyncio.timeout(10):
            while self.answers.total() < goal:  # noqa: ASYNC110 - the callers are not held up for this
                await asyncio.sleep(0.005)

    async def _call(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    started = monotonic()
                    async with session.request(self.method, self.url) as reply:
                        await reply.read()
                        self.slowest = max(self.slowest, monotonic() - started)
                        self.answers[f"{reply.status} {reply.headers.get(names.PROXY_ERROR_HEADER, '')}"] += 1
                except aiohttp.ClientError as error:
                    self.answers[repr(error)] += 1


@asynccontextmanager
async def backend(running: Mesh, name: str) -> AsyncIterator[Backend]:
    pod = await running.pod(name)
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(echo(pod))
        app.delay = 0.002
        yield Backend(pod, app, stack)


@pytest.mark.parametrize("kill", [Backend.kill_application, Backend.kill_pod], ids=["application", "pod"])
async def test_one_of_two_is_killed(tmp_path: Path, kill: Callable[[Backend], AsyncIterator[None]]) -> None:
    async with mesh(tmp_path) as running, backend(running, "a") as first, backend(running, "b") as second:
        vip = running.new_address()
        client = await running.pod("client", vips=(vip,))
        running.route(client, vip, (first.pod.endpoint(), second.pod.endpoint()))
        async with Load(f"http://{vip}/") as load:
            await load.more(BEFORE)
            await kill(first)
            await load.more(AFTER)
        assert set(load.answers) == {"200 "}
        assert first.app.served > BEFORE / 4
        assert second.app.served > BEFORE / 4 + AFTER / 2


async def test_the_standby_behind_a_gateway_takes_over(tmp_path: Path) -> None:
    async with mesh(tmp_path) as running, backend(running, "local") as local, backend(running, "remote") as remote:
        vip = running.new_address()
        client, gateway = await asyncio.gather(
            running.pod("client", vips=(vip,)), running.pod("gateway", role="gateway")
        )
        running.gateway(client, "east", gateway)
        running.export(gateway, remote.pod.endpoint().address)
        running.route(client, vip, (local.pod.endpoint(),), (), (remote.pod.endpoint(gateway="east"),))
        async with Load(f"http://{vip}/") as load:
            await load.more(BEFORE)
            assert remote.app.served == 0
            await local.kill_pod()
            await load.more(AFTER)
        assert set(load.answers) == {"200 "}
        assert remote.app.served >= AFTER - CALLERS


async def test_a_gateway_that_falls_silent_costs_two_seconds_at_most_and_no_request(tmp_path: Path) -> None:
    async with mesh(tmp_path) as running, backend(running, "remote") as remote, backend(running, "standby") as standby:
        vip = running.new_address()
        client, gateway = await asyncio.gather(
            running.pod("client", vips=(vip,)), running.pod("gateway", role="gateway")
        )
        running.gateway(client, "east", gateway)
        running.export(gateway, remote.pod.endpoint().address)
        running.route(client, vip, (remote.pod.endpoint(gateway="east"),), (standby.pod.endpoint(),))
        async with Load(f"http://{vip}/") as load:
            await load.more(BEFORE)
            gateway.stall()
            await load.more(AFTER)
        assert set(load.answers) == {"200 "}
        assert standby.app.served >= AFTER - CALLERS
        assert load.slowest < NOTICED + ONCE_MORE + BUSY


@pytest.mark.parametrize("lost", [0, 1], ids=["one", "the other"])
async def test_a_node_that_dies_with_a_gateway_and_one_of_two_pods_fails_no_request(tmp_path: Path, lost: int) -> None:
    """All tunnels end at once, full of requests; the next gateway leads to the other pod only."""
    async with mesh(tmp_path) as running, backend(running, "one") as one, backend(running, "two") as two:
        vip, shared, nowhere = (running.new_address() for _ in range(3))
        client, first = await asyncio.gather(running.pod("client", vips=(vip,)), running.pod("first", role="gateway"))
        second = await running.pod("second", role="gateway", identity=first.identity)
        addresses = [each.pod.endpoint().address for each in (one, two)]
        for address in addresses:
            running.export(first, address)
        running.export(second, addresses[1 - lost])
        gone = ExportCluster(f"{names.EXPORT_CLUSTER_PREFIX}{addresses[lost]}", Address(nowhere, APP_PORT))
        running.put(gateways.export(gone), node=second.name)
        running.gateway(client, "east", replace(first, address=shared))
        running.route(client, vip, tuple(each.pod.endpoint(gateway="east") for each in (one, two)))
        with hole(nowhere, APP_PORT):
            async with balancer(shared, first) as front, Load(f"http://{vip}/") as load:
                await load.more(BEFORE)
                front.chosen = second
                front.lose()
                await load.more(AFTER)
        assert set(load.answers) == {"200 "}


async def test_a_load_balancer_that_still_counts_on_a_dead_gateway_is_asked_again(tmp_path: Path) -> None:
    """Each attempt is another draw: the first ones vanish, and nothing waits for them to be given up."""
    async with mesh(tmp_path) as running, backend(running, "remote") as remote, aiohttp.ClientSession() as session:
        vip, shared = running.new_address(), running.new_address()
        client, living = await asyncio.gather(running.pod("client", vips=(vip,)), running.pod("living", role="gateway"))
        running.export(living, remote.pod.endpoint().address)
        running.gateway(client, "east", replace(living, address=shared))
        running.route(client, vip, (remote.pod.endpoint(gateway="east"),))
        with hole(shared, names.GATEWAY_PORT):
            asked = asyncio.create_task(session.get(f"http://{vip}/"))
            await running.reaches(client, "cluster.gateway/east.upstream_cx_total", 1)
        async with balancer(shared, living), await asked as reply:
            assert reply.status == 200
        assert await running.stat(client, "cluster.gateway/east.upstream_cx_connect_fail") == 0


async def test_another_address_that_comes_later_stands_in_for_the_one_that_is_there(tmp_path: Path) -> None:
    async with mesh(tmp_path) as running, backend(running, "remote") as remote:
        vip = running.new_address()
        client, first = await asyncio.gather(running.pod("client", vips=(vip,)), running.pod("first", role="gateway"))
        second = await running.pod("second", role="gateway", identity=first.identity)
        for each in (first, second):
            running.export(each, remote.pod.endpoint().address)
        running.gateway(client, "east", first)
        running.route(client, vip, (remote.pod.endpoint(gateway="east"),))
        async with Load(f"http://{vip}/") as load:
            await load.more(BEFORE)
            running.gateway(client, "east", first, silent=(second,))
            await running.reaches(client, "cluster.gateway/east.membership_total", 2)
            await load.more(BEFORE)
            first.kill()
            await load.more(AFTER)
        assert set(load.answers) == {"200 "}
        assert await running.stat(client, "cluster.gateway/east.upstream_cx_connect_fail") == 0


async def test_what_reached_nobody_is_repeated_whatever_it_is(tmp_path: Path) -> None:
    """A POST to a proxy whose application is gone never arrived, so it goes to the next endpoint."""
    async with mesh(tmp_path) as running, backend(running, "a") as first, backend(running, "b") as second:
        vip = running.new_address()
        client = await running.pod("client", vips=(vip,))
        await first.kill_application()
        running.route(client, vip, (first.pod.endpoint(), second.pod.endpoint()))
        async with Load(f"http://{vip}/", method="POST") as load:
            await load.more(100)
        assert set(load.answers) == {"200 "}


async def test_the_last_endpoint_is_asked_as_soon_as_it_is_back_however_often_it_failed(tmp_path: Path) -> None:
    """There is nobody else: a gateway that restarts takes all tunnels along, and the next one carries all of them."""
    async with mesh(tmp_path) as running, aiohttp.ClientSession() as session:
        vip = running.new_address()
        client = await running.pod("client", vips=(vip,))
        bare = Pod("bare", running.new_address(), client.identity, Path())
        running.route(client, vip, (bare.endpoint(meshed=False),))
        for _ in range(4):
            async with session.get(f"http://{vip}/") as reply:
                assert reply.status == 503
        async with echo(bare, port=APP_PORT), session.get(f"http://{vip}/") as reply:
            assert reply.status == 200, reply.headers
