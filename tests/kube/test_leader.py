"""One leader at a time, and another one when it goes."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.kube import api as fake

from isthmus.kube.client import Client, connect
from isthmus.kube.leader import Election, Observed, verdict


@pytest.mark.parametrize(
    ("lease", "expected"),
    [
        (None, "create"),
        (Observed("me", 15, 99), "renew"),
        (Observed("other", 15, 14), "wait"),
        (Observed("other", 15, 16), "take"),
        (Observed("", 15, 0), "take"),
    ],
)
def test_what_a_candidate_does(lease: Observed | None, expected: str) -> None:
    assert verdict(lease, "me") == expected


@pytest.fixture
async def api() -> AsyncIterator[fake.Api]:
    async with fake.running() as running:
        yield running


def candidate(client: Client, identity: str) -> Election:
    return Election(client, "lease", namespace="ns", identity=identity, seconds=3, retry=0.01)


async def test_the_next_candidate_leads_when_the_first_one_stops(api: fake.Api) -> None:
    async with connect(fake.kubeconfig(api.url)) as client, asyncio.timeout(10):
        one, two = candidate(client, "one"), candidate(client, "two")
        leading: asyncio.Queue[str] = asyncio.Queue()

        async def lead(name: str) -> None:
            leading.put_nowait(name)
            await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            first = group.create_task(one.run(lambda: lead("one")))
            assert await leading.get() == "one"
            second = group.create_task(two.run(lambda: lead("two")))
            first.cancel()
            assert await leading.get() == "two"
            second.cancel()


async def test_a_leader_that_cannot_renew_stops_leading(api: fake.Api) -> None:
    async with connect(fake.kubeconfig(api.url)) as client, asyncio.timeout(10):
        election = Election(client, "lease", namespace="ns", identity="me", seconds=1, retry=0.01)
        began, ended = asyncio.Event(), asyncio.Event()

        async def lead() -> None:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(election.run(lead))
            await began.wait()
            api.refuse = (503, "ServiceUnavailable", "down")
            await ended.wait()
            task.cancel()
