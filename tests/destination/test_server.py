"""A proxy connects over mutual TLS and is told what it asks for, when it changes, and nothing that is not its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from tests.destination.harness import AdsClient, connected, leaf, shown
from tests.mesh import objects as make

from isthmus.destination import server, wire
from isthmus.destination.world import World
from isthmus.kube import pki
from isthmus.mesh.state import Remote
from isthmus.mesh.workloads import workload

NODE = "client.shop"
NAME = "outbound/10.96.0.5:80"
ROOT = pki.make_root("root")
OWN = leaf(ROOT, f"spiffe://{make.DOMAIN}/ns/linkerd/sa/linkerd-destination")
CLIENT = leaf(ROOT, f"spiffe://{make.DOMAIN}/ns/shop/sa/client")


@pytest.fixture
def world() -> World:
    state = make.state()
    make.put(state, make.pod("client", "10.244.0.2", account="client"), make.pod("web-1", "10.244.0.7", account="web"))
    make.put(state, make.service("web", "10.96.0.5", 80))
    make.put(state, make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1")))
    state.take_changed()
    return World(state)


@asynccontextmanager
async def stream(world: World, pair: pki.KeyPair = CLIENT, node: str = NODE) -> AsyncIterator[AdsClient]:
    async with (
        server.serving(world, "127.0.0.1:0", server.credentials(lambda: shown(OWN, ROOT))) as port,
        connected(port, ROOT, pair, node) as client,
    ):
        yield client


def addresses(response: object) -> list[str]:
    (resource,) = response.resources  # type: ignore[attr-defined]
    assignment = endpoint_pb2.ClusterLoadAssignment.FromString(resource.resource.value)
    return [
        each.endpoint.address.socket_address.address for group in assignment.endpoints for each in group.lb_endpoints
    ]


async def test_a_destination_is_a_cluster_and_its_endpoints(world: World) -> None:
    async with stream(world) as client:
        await client.send(wire.CLUSTER, NAME)
        cluster = await client.receive()
        assert [each.name for each in cluster.resources] == [NAME]
        await client.acknowledge(cluster)
        await client.send(wire.ENDPOINTS, NAME)
        assert addresses(await client.receive()) == ["10.244.0.7"]


async def test_a_changed_endpoint_is_pushed(world: World) -> None:
    async with stream(world) as client:
        await client.send(wire.ENDPOINTS, NAME)
        await client.acknowledge(await client.receive())
        old = make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1"))
        new = make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1"), make.endpoint("10.244.0.8"))
        world.state.set_slice(old, new)
        world.touched()
        assert addresses(await client.receive()) == ["10.244.0.7", "10.244.0.8"]


async def test_a_standby_arrives_when_it_is_known_and_keeps_nobody_waiting(world: World) -> None:
    metadata = make.mirror_metadata("west", "web.shop.svc.cluster.local")
    make.put(world.state, make.link("west"), make.service("web-west", "10.96.0.9", 80, **metadata))
    world.state.set_split(None, make.split("web", ("web", 100), ("web-west", 0)))
    async with stream(world) as client:
        await client.send(wire.CLUSTER, NAME)
        await client.acknowledge(await client.receive())
        await client.send(wire.ENDPOINTS, NAME)
        first = await client.receive()
        assert addresses(first) == ["10.244.0.7"]
        await client.acknowledge(first)
        item = make.endpoint_slice("web", make.endpoint("10.244.0.9", "web-9"))
        pods = {"uid-web-9": workload(make.pod("web-9", "10.244.0.9"))}
        world.state.set_remote(("west", "shop", "web"), Remote((item,), pods))
        world.touched()
        cluster, endpoints = await client.receive(), await client.receive()
        assert (cluster.type_url, endpoints.type_url) == (wire.CLUSTER, wire.ENDPOINTS)
        assignment = endpoint_pb2.ClusterLoadAssignment.FromString(endpoints.resources[0].resource.value)
        assert [(group.priority, len(group.lb_endpoints)) for group in assignment.endpoints] == [(0, 1), (1, 1)]


async def test_an_unknown_destination_is_an_empty_cluster_and_again_when_asked_again(world: World) -> None:
    name = "outbound/8.8.8.8:53"
    async with stream(world) as client:
        for _ in range(2):
            await client.send(wire.CLUSTER, name)
            (resource,) = (await client.receive()).resources
            cluster = cluster_pb2.Cluster.FromString(resource.resource.value)
            assert (cluster.name, len(cluster.load_assignment.endpoints)) == (name, 0)


async def test_an_unknown_secret_is_removed_at_once(world: World) -> None:
    async with stream(world) as client:
        await client.send(wire.SECRET, "trust/nobody")
        assert list((await client.receive()).removed_resources) == ["trust/nobody"]


async def test_listeners_come_without_being_named(world: World) -> None:
    async with stream(world) as client:
        await client.send(wire.LISTENER)
        response = await client.receive()
        assert sorted(each.name for each in response.resources) == ["inbound", "outbound", "tunnel"]


async def test_a_certificate_of_another_pod_is_denied(world: World) -> None:
    async with stream(world, node="web-1.shop") as client:
        await client.send(wire.LISTENER)
        code, detail = await client.failure()
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert "pod shop/web-1 is" in detail
        assert "/sa/client" in detail


async def test_a_certificate_of_a_foreign_root_does_not_connect(world: World) -> None:
    foreign = pki.make_root("foreign")
    intruder = leaf(foreign, f"spiffe://{make.DOMAIN}/ns/shop/sa/client")
    async with stream(world, pair=intruder) as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.send(wire.LISTENER)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_what_nobody_listens_to_is_forgotten(world: World) -> None:
    async with stream(world) as client:
        await client.send(wire.CLUSTER, NAME)
        await client.acknowledge(await client.receive(), resource_names_unsubscribe=[NAME])
        await client.send(wire.CLUSTER, "outbound/8.8.8.8:1")
        await client.receive()
        assert len(world) == 1
