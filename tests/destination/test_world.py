"""Work follows use: a change reaches whom it concerns, and costs nothing elsewhere."""

from collections.abc import Callable

import pytest
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import discovery_pb2
from tests.mesh import objects as make

from isthmus import names
from isthmus.destination import proxy as module
from isthmus.destination import render, wire
from isthmus.destination.proxy import Proxy
from isthmus.destination.session import PENDING, Session
from isthmus.destination.wire import Served
from isthmus.destination.world import World
from isthmus.mesh.state import Remote, RemoteKey
from isthmus.mesh.workloads import workload
from isthmus.resources.core import Service

WEB = "outbound/10.96.0.5:80"
API = "outbound/10.96.0.6:80"
MIRROR = "outbound/10.96.0.9:80"


class Remotes:
    """Which remote services are wanted."""

    def __init__(self) -> None:
        self.wanted: set[RemoteKey] = set()


class Clock:
    """Time passes when the test says so."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.due.append(call)

    def passes(self) -> None:
        due, self.due = self.due, []
        for call in due:
            call()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def remotes() -> Remotes:
    return Remotes()


@pytest.fixture
def world(remotes: Remotes, clock: Clock) -> World:
    state = make.state()
    gateway = make.pod("gw", "10.244.0.4", namespace="linkerd-multicluster", annotations={
        names.ENABLE_GATEWAY_ANNOTATION: "true"
    })  # fmt: skip
    make.put(state, make.pod("client", "10.244.0.2"), make.pod("web-1", "10.244.0.7"), gateway)
    make.put(state, make.service("web", "10.96.0.5", 80, annotations={names.EXPORTED: "true"}))
    make.put(state, make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1")))
    make.put(state, make.service("api", "10.96.0.6", 80), make.link("east"))
    metadata = make.mirror_metadata("east", "web.shop.svc.cluster.local")
    make.put(state, make.service("web-east", "10.96.0.9", 80, **metadata))
    state.take_changed()
    return World(
        state, remote_wanted=remotes.wanted.add, remote_unwanted=remotes.wanted.discard, later=clock.call_later
    )


class Listener:
    """A proxy and what it was woken for."""

    def __init__(self, world: World, name: str = "client", namespace: str = "shop") -> None:
        self.proxy: Proxy = Proxy(world, (namespace, name), lambda: None)

    def heard(self) -> set[str]:
        return {name for _, name in self.proxy.take()}

    def clusters(self, *subscribe: str) -> "Listener":
        for name in subscribe:
            self.proxy.subscribe(wire.CLUSTER, name)
            self.proxy.subscribe(wire.ENDPOINTS, name)
        return self


def grow(world: World) -> None:
    old = make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1"))
    new = make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1"), make.endpoint("10.244.0.8"))
    world.state.set_slice(old, new)
    world.flush()


def test_an_endpoint_change_wakes_those_who_use_the_service(world: World) -> None:
    user, other = Listener(world).clusters(WEB), Listener(world).clusters(API)
    grow(world)
    assert user.heard() == {WEB}
    assert other.heard() == set()


def test_a_change_of_what_nobody_uses_is_no_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    Listener(world).clusters(API)
    asked: list[object] = []
    monkeypatch.setattr(world, "_ask", asked.append)
    grow(world)
    assert asked == []


def test_bytes_are_shared_between_proxies(world: World) -> None:
    one, two = Listener(world).clusters(WEB), Listener(world, "web-1").clusters(WEB)
    first, second = one.proxy.answer(wire.CLUSTER, WEB), two.proxy.answer(wire.CLUSTER, WEB)
    assert isinstance(first, Served)
    assert first is second


def test_a_mirror_is_wanted_as_long_as_somebody_listens(world: World, remotes: Remotes) -> None:
    listener = Listener(world).clusters(MIRROR)
    assert remotes.wanted == {("east", "shop", "web")}
    assert listener.proxy.answer(wire.CLUSTER, MIRROR) is PENDING
    world.state.set_remote(("east", "shop", "web"), Remote())
    world.flush()
    assert listener.heard() == {MIRROR}
    assert isinstance(listener.proxy.answer(wire.CLUSTER, MIRROR), Served)
    listener.proxy.unsubscribe(wire.CLUSTER, MIRROR)
    listener.proxy.unsubscribe(wire.ENDPOINTS, MIRROR)
    assert remotes.wanted == set()


def test_the_members_of_a_federated_service_are_wanted_as_they_join_and_leave(world: World, remotes: Remotes) -> None:
    def federated(members: str) -> Service:
        annotations = {names.REMOTE_DISCOVERY: members, names.LOCAL_DISCOVERY_ANNOTATION: "web"}
        labels = {names.MIRRORED_SERVICE_LABEL: "true"}
        return make.service("web-federated", "10.96.0.12", 80, labels=labels, annotations=annotations)

    one, two = federated("web@east"), federated("web@east,web@north")
    make.put(world.state, one, make.link("north"))
    listener = Listener(world).clusters("outbound/10.96.0.12:80")
    assert remotes.wanted == {("east", "shop", "web")}
    world.state.set_service(one, two)
    world.flush()
    assert remotes.wanted == {("east", "shop", "web"), ("north", "shop", "web")}
    for member in tuple(remotes.wanted):
        world.state.set_remote(member, Remote())
    world.flush()
    listener.heard()
    grow(world)
    assert listener.heard() == {"outbound/10.96.0.12:80"}, "the member here counts as well"
    world.state.set_link(make.link("north"), None)
    world.flush()
    assert remotes.wanted == {("east", "shop", "web")}


def test_what_was_held_back_for_a_standby_is_told_when_the_standby_turns_out_to_be_away(
    world: World, remotes: Remotes
) -> None:
    """Its bytes are the same as before, but a proxy that knew more was not told them."""
    listener = Listener(world).clusters(WEB)
    world.state.set_split(None, make.split("web", ("web", 100), ("web-east", 0)))
    world.flush()
    assert remotes.wanted == {("east", "shop", "web")}
    grow(world)
    listener.heard()
    held = listener.proxy.answer(wire.ENDPOINTS, WEB)
    assert isinstance(held, Served)
    assert held.provisional
    world.state.set_remote(("east", "shop", "web"), Remote(heard=False))
    world.flush()
    assert listener.heard() == {WEB}
    told = listener.proxy.answer(wire.ENDPOINTS, WEB)
    assert isinstance(told, Served)
    assert (told.version, told.provisional) == (held.version, False)


def with_standby(world: World) -> Listener:
    """The split of the tutorial, and a proxy that listens to its service."""
    state = world.state
    state.set_split(None, make.split("web", ("web", 100), ("web-east", 0)))
    west = make.endpoint_slice("web", make.endpoint("10.244.0.9", "web-9"))
    state.set_remote(("east", "shop", "web"), Remote((west,), {"uid-web-9": workload(make.pod("web-9", "10.244.0.9"))}))
    return Listener(world).clusters(WEB)


def test_traffic_leaves_at_once_and_comes_back_step_by_step(world: World, clock: Clock) -> None:
    state, listener = world.state, with_standby(world)
    local, nobody = make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1")), make.endpoint_slice("web")
    seen = [share(listener)]
    for old, new in ((local, nobody), (nobody, local)):
        state.set_slice(old, new)
        world.flush()
        seen.append(share(listener))
    listener.heard()
    while clock.due:
        clock.passes()
        assert listener.heard() == {WEB}
        seen.append(share(listener))
    assert seen == [100, 0, 20, 40, 60, 80, 100]


def test_a_destination_that_nobody_asks_for_any_more_is_not_brought_back(world: World, clock: Clock) -> None:
    state, listener = world.state, with_standby(world)
    local, nobody = make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1")), make.endpoint_slice("web")
    for old, new in ((local, nobody), (nobody, local)):
        state.set_slice(old, new)
        world.flush()
    for type_url in (wire.CLUSTER, wire.ENDPOINTS):
        listener.proxy.unsubscribe(type_url, WEB)
    clock.passes()
    assert clock.due == []


def share(listener: Listener) -> int:
    """Percent of the traffic that the first group gets, as Envoy reckons it."""
    served = listener.proxy.answer(wire.ENDPOINTS, WEB)
    assert isinstance(served, Served)
    found = discovery_pb2.DeltaDiscoveryResponse.FromString(served.piece).resources[0].resource
    assignment = endpoint_pb2.ClusterLoadAssignment.FromString(found.value)
    first = [each for group in assignment.endpoints if not group.priority for each in group.lb_endpoints]
    total = sum(each.load_balancing_weight.value for each in first)
    healthy = sum(each.load_balancing_weight.value for each in first if each.health_status != 2)
    return min(100, assignment.policy.overprovisioning_factor.value * healthy // total) if total else 0


def test_moving_to_a_standby_and_back_changes_endpoints_only(world: World, clock: Clock) -> None:
    """A changed cluster would be a new one, with new connections, just when they are needed."""
    state, listener = world.state, with_standby(world)
    local, nobody = make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1")), make.endpoint_slice("web")
    seen = [versions(listener)]
    for old, new in ((local, nobody), (nobody, local)):
        state.set_slice(old, new)
        world.flush()
        while clock.due:
            clock.passes()
        seen.append(versions(listener))
    assert len({cluster for cluster, _ in seen}) == 1
    assert seen[0] != seen[1]
    assert seen[0] == seen[2]


def versions(listener: Listener) -> tuple[str, str]:
    cluster, endpoints = (listener.proxy.answer(each, WEB) for each in (wire.CLUSTER, wire.ENDPOINTS))
    assert isinstance(cluster, Served)
    assert isinstance(endpoints, Served)
    return cluster.version, endpoints.version


def test_exports_are_for_gateways_only(world: World) -> None:
    name = "export/10.244.0.7:8080"
    client, gateway = Listener(world), Listener(world, "gw", "linkerd-multicluster")
    for listener in (client, gateway):
        listener.proxy.subscribe(wire.CLUSTER, name)
    assert client.proxy.answer(wire.CLUSTER, name) is render.absent(name)
    assert gateway.proxy.answer(wire.CLUSTER, name) is not render.absent(name)


def test_a_service_that_is_no_longer_exported_is_taken_from_the_gateway(world: World) -> None:
    name = "export/10.244.0.7:8080"
    gateway = Listener(world, "gw", "linkerd-multicluster")
    gateway.proxy.subscribe(wire.CLUSTER, name)
    exported = make.service("web", "10.96.0.5", 80, annotations={names.EXPORTED: "true"})
    world.state.set_service(exported, make.service("web", "10.96.0.5", 80))
    world.flush()
    assert gateway.heard() == {name}
    assert gateway.proxy.answer(wire.CLUSTER, name) is render.absent(name)


def test_a_proxy_keeps_its_listeners_while_its_pod_ends(world: World) -> None:
    listener = Listener(world)
    listener.proxy.subscribe(wire.LISTENER, "outbound")
    before = listener.proxy.answer(wire.LISTENER, "outbound")
    world.state.set_workload(world.state.workload(("shop", "client")), None)
    world.flush()
    assert isinstance(before, Served)
    assert listener.proxy.answer(wire.LISTENER, "outbound") is before


def test_nothing_is_left_of_proxies_that_went(world: World) -> None:
    listener = Listener(world).clusters(WEB, API, MIRROR)
    listener.proxy.subscribe(wire.SECRET, names.TRUST_OUTBOUND_SECRET)
    for name in (WEB, API, MIRROR):
        listener.proxy.unsubscribe(wire.CLUSTER, name)
        listener.proxy.unsubscribe(wire.ENDPOINTS, name)
    listener.proxy.unsubscribe(wire.SECRET, names.TRUST_OUTBOUND_SECRET)
    assert len(world) == 0
    assert world._dependents == {}


def test_names_that_lead_nowhere_do_not_pile_up_whatever_linked_clusters_ask_a_gateway_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNREACHABLE_LIMIT", 3)
    proxy = Proxy(world, ("linkerd-multicluster", "gw"), lambda: None)
    session = Session(proxy, peer="gateway")

    def asks(*addresses: str) -> tuple[set[str], set[str]]:
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=wire.CLUSTER, resource_names_subscribe=[f"export/{each}" for each in addresses]
        )
        (body,) = session.receive(request)
        response = discovery_pb2.DeltaDiscoveryResponse.FromString(body)
        return {each.name.removeprefix("export/") for each in response.resources}, {
            each.removeprefix("export/") for each in response.removed_resources
        }

    assert asks("10.244.0.7:8080") == ({"10.244.0.7:8080"}, set())
    for number in range(1, 4):
        assert asks(f"10.244.9.{number}:1")[1] == set()
    for number in range(4, 50):
        assert asks(f"10.244.9.{number}:1") == ({f"10.244.9.{number}:1"}, {f"10.244.9.{number - 3}:1"})
        assert len(world) == 4
    # An endpoint that turns out to be exported leaves its place to another.
    make.put(world.state, make.service("new", "10.96.0.7", 80, annotations={names.EXPORTED: "true"}))
    make.put(world.state, make.endpoint_slice("new", make.endpoint("10.244.9.49", "new-1"), port=1))
    world.flush()
    session.refresh(proxy.take())
    assert asks("10.244.9.50:1")[1] == set()
    # One that was forgotten is told all the same, for the gateway does not ask again.
    make.put(world.state, make.service("late", "10.96.0.8", 80, annotations={names.EXPORTED: "true"}))
    make.put(world.state, make.endpoint_slice("late", make.endpoint("10.244.9.1", "late-1"), port=1))
    world.flush()
    (body,) = session.refresh(proxy.take())
    offered = discovery_pb2.DeltaDiscoveryResponse.FromString(body).resources
    assert [each.name for each in offered] == ["export/10.244.9.1:1"]
    session.close()
    assert len(world) == 0
