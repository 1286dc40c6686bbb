"""Linked clusters: asked only when a proxy asks, believed when they answer, remembered when they go away."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.kube import api as fake
from tests.kube.waiting import until
from tests.mesh import objects as make

from isthmus import names
from isthmus.destination.memory import Memory
from isthmus.destination.remote import Remotes
from isthmus.kube.client import connect
from isthmus.mesh.state import Remote, State

SECRETS = "/api/v1/namespaces/linkerd-multicluster/secrets"
CREDENTIALS = "cluster-credentials-east"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
PODS = "/api/v1/namespaces/shop/pods"
WEB = ("east", "shop", "web")


class Linked:
    """A local and a linked cluster, and what the first knows of the second."""

    def __init__(self, local: fake.Api, east: fake.Api, state: State, remotes: Remotes, changed: asyncio.Event) -> None:
        self.local, self.east, self.state, self.remotes = local, east, state, remotes
        self._changed = changed

    def link(self, **spec: str) -> None:
        old = self.state.link("east")
        self.state.set_link(old, make.link("east", **spec))
        self.remotes.links_changed()

    def unlink(self) -> None:
        self.state.set_link(self.state.link("east"), None)
        self.remotes.links_changed()

    async def credentials(self, url: str | None, name: str = CREDENTIALS) -> None:
        content = json.dumps(fake.kubeconfig(url)).encode() if url else b"nonsense: ["
        await self.local.put(
            SECRETS,
            name,
            metadata={"namespace": names.MULTICLUSTER_NAMESPACE},
            data={"kubeconfig": base64.b64encode(content).decode()},
        )

    async def web(self, *pods: tuple[str, str], cluster: fake.Api | None = None, account: str = "web") -> None:
        """Pods and the slice of the service `web`."""
        api = cluster or self.east
        for name, ip in pods:
            await put(api, PODS, make.pod_json(name, ip, account=account))
        await put(api, SLICES, make.slice_json("web", *(make.endpoint(ip, name) for name, ip in pods)))

    async def known(self) -> list[str]:
        """The accounts behind `web` after the next change, by pod."""
        async with asyncio.timeout(5):
            await self._changed.wait()
        self._changed.clear()
        return accounts(self.state.remote(WEB))


async def put(api: fake.Api, path: str, item: Any) -> None:
    await api.put(path, item["metadata"]["name"], **item)


def accounts(remote: Remote | None) -> list[str]:
    assert remote is not None
    return sorted(f"{each.name} {each.service_account}" for each in remote.workloads.values())


@asynccontextmanager
async def linked(**options: float) -> AsyncIterator[Linked]:
    async with fake.running() as local, fake.running() as east, following(local, east, **options) as clusters:
        yield clusters


@asynccontextmanager
async def following(
    local: fake.Api, east: fake.Api, *, remembering: bool = False, **options: float
) -> AsyncIterator[Linked]:
    """One life of the process."""
    state = make.state()
    changed = asyncio.Event()
    async with connect(fake.kubeconfig(local.url)) as client, asyncio.TaskGroup() as group:
        memory = Memory(client, state, write_seconds=0)
        remotes = Remotes(client, state, memory, touched=changed.set, **options)
        clusters = Linked(local, east, state, remotes, changed)
        clusters.link()
        tasks = [group.create_task(remotes.run())]
        if remembering:
            tasks.append(group.create_task(memory.run(asyncio.sleep(0))))
        yield clusters
        for task in tasks:
            task.cancel()


async def test_a_wanted_service_is_followed(caplog: pytest.LogCaptureFixture) -> None:
    async with linked() as clusters:
        await clusters.web(("web-1", "10.244.0.7"))
        await clusters.credentials(clusters.east.url)
        clusters.remotes.want(WEB)
        assert await clusters.known() == ["web-1 web"]
        await clusters.web(("web-1", "10.244.0.7"), ("web-2", "10.244.0.8"))
        while await clusters.known() != ["web-1 web", "web-2 web"]:
            pass


async def test_nothing_is_asked_of_a_linked_cluster_before_a_proxy_asks() -> None:
    async with linked() as clusters:
        await clusters.web(("web-1", "10.244.0.7"))
        await clusters.credentials(clusters.east.url)
        await clusters.local.watching.wait()
        assert clusters.east.requests == []


async def test_a_cluster_that_does_not_answer_has_nobody_after_a_moment() -> None:
    async with linked(first_answer_seconds=0.05) as clusters:
        clusters.remotes.want(WEB)
        assert await clusters.known() == []
        assert not clusters.state.remote(WEB).heard


async def test_slices_whose_pods_cannot_be_read_say_nothing_yet() -> None:
    async with linked() as clusters:
        await put(clusters.east, SLICES, make.slice_json("web", make.endpoint("10.244.0.7", "web-1")))
        await clusters.credentials(clusters.east.url)
        clusters.remotes.want(WEB)
        assert await clusters.known() == []
        assert not clusters.state.remote(WEB).heard


async def test_last_known_endpoints_stay_when_the_api_goes_away() -> None:
    async with linked(first_answer_seconds=0.05) as clusters:
        await clusters.web(("web-1", "10.244.0.7"))
        await clusters.credentials(clusters.east.url)
        clusters.remotes.want(WEB)
        while await clusters.known() != ["web-1 web"]:
            pass
        await clusters.east.watching.wait()
        clusters.east.refuse = (503, "ServiceUnavailable", "gone")
        before = len(clusters.east.requests)
        await clusters.east.cut()
        await until(lambda: len(clusters.east.requests) > before)
        assert accounts(clusters.state.remote(WEB)) == ["web-1 web"]


async def test_new_credentials_are_used_at_once() -> None:
    async with linked() as clusters, fake.running() as moved:
        await clusters.web(("web-1", "10.244.0.7"))
        await clusters.web(("web-9", "10.244.0.9"), cluster=moved)
        await clusters.credentials(clusters.east.url)
        clusters.remotes.want(WEB)
        assert await clusters.known() == ["web-1 web"]
        await clusters.credentials(moved.url)
        assert await clusters.known() == ["web-9 web"]


async def test_new_credentials_that_may_read_less_take_no_endpoint_away() -> None:
    async with linked() as clusters, fake.running() as strict:
        await clusters.web(("web-1", "10.244.0.7"))
        await clusters.credentials(clusters.east.url)
        clusters.remotes.want(WEB)
        assert await clusters.known() == ["web-1 web"]
        # The same service; but who its pods are cannot be learned there.
        await put(strict, SLICES, make.slice_json("web", make.endpoint("10.244.0.7", "web-1")))
        await clusters.credentials(strict.url)
        assert await clusters.known() == ["web-1 web"]
        assert clusters.state.remote(WEB).heard


async def test_what_was_known_through_a_link_goes_with_it_and_comes_back_with_the_next() -> None:
    async with linked() as clusters:
        await clusters.web(("web-1", "10.244.0.7"))
        await clusters.credentials(clusters.east.url)
        clusters.remotes.want(WEB)
        assert await clusters.known() == ["web-1 web"]
        clusters.unlink()
        await until(lambda: clusters.state.remote(WEB) is None)
        clusters.link()
        await until(lambda: clusters.state.remote(WEB) is not None)
        assert accounts(clusters.state.remote(WEB)) == ["web-1 web"]


async def test_only_the_secret_that_the_link_names_is_read_and_another_one_is_used_when_the_link_says_so() -> None:
    async with linked(first_answer_seconds=0.05) as clusters, fake.running() as other:
        await clusters.web(("web-1", "10.244.0.7"))
        await clusters.web(("web-9", "10.244.0.9"), cluster=other)
        await clusters.credentials(other.url, name="renewed")
        clusters.remotes.want(WEB)
        assert await clusters.known() == []
        await clusters.credentials(clusters.east.url)
        while await clusters.known() != ["web-1 web"]:
            pass
        clusters.link(clusterCredentialsSecret="renewed")
        while await clusters.known() != ["web-9 web"]:
            pass
        asked = {line for line in clusters.local.requests if "/secrets" in line}
        assert all("metadata.name" in line for line in asked), asked


async def test_credentials_that_may_not_be_read_yet_are_read_soon_after_they_may() -> None:
    async with linked(first_answer_seconds=0.05) as clusters:
        await clusters.web(("web-1", "10.244.0.7"))
        await clusters.credentials(clusters.east.url)
        await clusters.local.watching.wait()
        clusters.local.refuse = (403, "Forbidden", "secrets is forbidden")
        clusters.link(clusterCredentialsSecret="other")
        await clusters.credentials(clusters.east.url, name="other")
        clusters.remotes.want(WEB)
        assert await clusters.known() == []
        clusters.local.refuse = None
        async with asyncio.timeout(2):
            while await clusters.known() != ["web-1 web"]:
                pass


async def test_a_broken_secret_is_named_and_repaired_live(caplog: pytest.LogCaptureFixture) -> None:
    async with linked(first_answer_seconds=0.05) as clusters:
        await clusters.web(("web-1", "10.244.0.7"))
        await clusters.credentials(None)
        clusters.remotes.want(WEB)
        assert await clusters.known() == []
        assert "cluster east cannot be followed: The kubeconfig is malformed" in caplog.text
        await clusters.credentials(clusters.east.url)
        while await clusters.known() != ["web-1 web"]:
            pass


async def test_what_nobody_wants_is_released() -> None:
    async with linked(keep_seconds=0.01) as clusters:
        await clusters.web(("web-1", "10.244.0.7"))
        await clusters.credentials(clusters.east.url)
        clusters.remotes.want(WEB)
        assert await clusters.known() == ["web-1 web"]
        clusters.remotes.unwant(WEB)
        await until(lambda: clusters.state.remote(WEB) is None)


async def test_many_pods_are_listed_rather_than_asked_for_one_by_one() -> None:
    pods = [(f"web-{number}", f"10.244.0.{number}") for number in range(1, 21)]
    async with linked() as clusters:
        await clusters.web(*pods)
        await clusters.credentials(clusters.east.url)
        clusters.remotes.want(WEB)
        assert len(await clusters.known()) == 20
        asked = [line for line in clusters.east.requests if "/pods" in line]
        assert len(asked) == 1


async def test_a_recreated_pod_of_the_same_name_is_looked_up_again() -> None:
    async with linked() as clusters:
        await clusters.web(("web-1", "10.244.0.7"))
        await clusters.credentials(clusters.east.url)
        clusters.remotes.want(WEB)
        assert await clusters.known() == ["web-1 web"]
        replaced = make.pod_json("web-1", "10.244.0.7", account="other")
        replaced["metadata"]["uid"] = "second life"
        await put(clusters.east, PODS, replaced)
        again = make.slice_json("web", make.endpoint("10.244.0.7", "web-1"))
        again["endpoints"][0]["targetRef"]["uid"] = "second life"
        await put(clusters.east, SLICES, again)
        while await clusters.known() != ["web-1 other"]:
            pass
