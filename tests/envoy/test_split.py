"""Backends that share traffic by weight get their shares, however far away or few they are, until they are gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import aiohttp
import pytest
from tests.envoy.apps import Echo, echo
from tests.envoy.harness import Mesh, Pod, mesh

from isthmus.mesh import splits

pytestmark = pytest.mark.envoy

REQUESTS = 600
CALLERS = 12
FAR = 0.03
"""Seconds that the backend far away takes: chosen by requests in flight it would get far less than its share."""


@asynccontextmanager
async def backend(running: Mesh, name: str) -> AsyncIterator[tuple[Pod, Echo]]:
    pod = await running.pod(name)
    async with echo(pod) as app:
        app.delay = 0.001
        yield pod, app


def share(name: str, weight: int, *pods: Pod) -> splits.Share:
    return splits.Share(name, Fraction(weight), (tuple(replace(pod.endpoint(), pod=pod.name) for pod in pods),))


async def requests(url: str) -> None:
    """`REQUESTS` answers of 200, by callers that do not wait for each other."""
    left = iter(range(REQUESTS))

    async def caller(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.get(url) as answer:
                assert answer.status == 200

    async with aiohttp.ClientSession() as session, asyncio.timeout(20), asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(caller(session))


@pytest.mark.parametrize(("weight", "expected"), [(50, 0.5), (10, 0.1)])
async def test_a_far_backend_gets_its_share(tmp_path: Path, weight: int, expected: float) -> None:
    async with (
        mesh(tmp_path) as running,
        backend(running, "near-1") as (near, near_app),
        backend(running, "near-2") as (second, second_app),
        backend(running, "far") as (far, far_app),
    ):
        far_app.delay = FAR
        vip = running.new_address()
        client = await running.pod("client", vips=(vip,))
        groups = splits.priorities([share("near", 100 - weight, near, second), share("far", weight, far)])
        running.route(client, vip, *groups, shared=True)
        await requests(f"http://{vip}/")
        assert abs(far_app.served / REQUESTS - expected) < 0.05
        assert near_app.served + second_app.served + far_app.served == REQUESTS
        assert min(near_app.served, second_app.served) > REQUESTS * (1 - expected) / 4


async def test_the_share_of_a_backend_that_is_gone_goes_to_the_other_and_not_to_the_standby(tmp_path: Path) -> None:
    async with (
        mesh(tmp_path) as running,
        backend(running, "a") as (first, first_app),
        backend(running, "b") as (second, second_app),
        backend(running, "c") as (standby, standby_app),
    ):
        vip = running.new_address()
        client = await running.pod("client", vips=(vip,))
        groups = splits.priorities([share("a", 90, first), share("b", 10, second), share("c", 0, standby)])
        running.route(client, vip, *groups, shared=True)
        first.kill()
        await requests(f"http://{vip}/")
        assert first_app.served == 0
        assert second_app.served + standby_app.served == REQUESTS
        assert standby_app.served < CALLERS, "only requests that had failed twice, before the backend was set aside"
