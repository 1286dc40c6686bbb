"""Three clusters, linked in a ring and each with each: their services, their roots and their ends do not mix."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from tests.e2e import certificates, connect, inside
from tests.e2e.loading import load
from tests.e2e.ring import (
    AROUND,
    CLUSTERS,
    EAST,
    EXTENSION,
    NORTH,
    PAIRS,
    SOUTH,
    ask,
    backends,
    each,
    link_exactly,
    mirrored,
    rollout,
    scaled,
    steady,
    trust_domain,
    unlink,
    without_failure,
)
from tests.lab_fixture import Lab

from isthmus import names

pytestmark = pytest.mark.lab

LONGEST_SILENCE = 3000.0
"""Milliseconds that one request may take when nobody says no."""

SPLIT = {
    "apiVersion": "split.smi-spec.io/v1alpha4",
    "kind": "TrafficSplit",
    "metadata": {"name": "backend", "namespace": "default"},
    "spec": {
        "service": "backend",
        "backends": [
            {"service": "backend", "weight": 100},
            {"service": "backend-east", "weight": 0},
            {"service": "backend-south", "weight": 0},
        ],
    },
}


@pytest.fixture
def around(ring: Lab) -> Lab:
    link_exactly(ring, AROUND)
    return ring


@pytest.fixture
def all_pairs(ring: Lab) -> Lab:
    link_exactly(ring, PAIRS)
    return ring


# --- around -------------------------------------------------------------------------------------------------------
def test_each_cluster_of_a_ring_calls_the_next_and_is_known_to_it(around: Lab) -> None:
    addresses = {}
    for source, target in AROUND:
        answer = ask(around, source, f"backend-{target}")
        print(f"{source} -> {target}: {answer.get('pod')} was asked by {answer.get('client_id')}")
        assert answer["pod"] in backends(around, target)
        assert answer["client_id"] == f"spiffe://{trust_domain(around, source)}/ns/default/sa/frontend"
        addresses[target] = around.get(target, "service", "kubernetes")["spec"]["clusterIP"]
    assert len({trust_domain(around, cluster) for cluster in CLUSTERS}) == 3
    assert len(set(addresses.values())) == 1, "all three have the same networks"
    assert [
        (source, target) for source in CLUSTERS for target in CLUSTERS if mirrored(around, source, target)
    ] == sorted(AROUND, key=lambda pair: CLUSTERS.index(pair[0]))


def test_a_gateway_is_no_way_into_a_third_cluster(around: Lab) -> None:
    """Not even when somebody in the second exports its mirror of the third."""
    mirror = around.get(EAST, "service", "backend-south")["spec"]["clusterIP"]
    gateway = around.get(SOUTH, "service", names.GATEWAY, "-n", EXTENSION)["status"]["loadBalancer"]["ingress"][0]["ip"]
    pod = around.get(EAST, "pods", "-l", "app=backend")[0]["status"]["podIP"]
    around.kubectl(EAST, "label", "service", "backend-south", f"{names.EXPORTED}=true")
    around.kubectl(EAST, "create", "service", "clusterip", "later", "--tcp=80")
    around.kubectl(EAST, "label", "service", "later", f"{names.EXPORTED}=true")
    try:
        around.wait(lambda: "later" in listed(around, NORTH, EAST), what="north knows what was exported later")
        assert listed(around, NORTH, EAST) == {"backend", "later"}
        here = {item["metadata"]["name"] for item in around.get(NORTH, "services", "-n", "default")}
        assert here == {"kubernetes", "backend", "backend-east", "later-east"}
        assert tunnel(around, NORTH, EAST, f"{pod}:8080") == 200
        for beyond in (f"{mirror}:8080", f"{gateway}:{names.GATEWAY_PORT}"):
            assert tunnel(around, NORTH, EAST, beyond) == 503
    finally:
        around.kubectl(EAST, "label", "service", "backend-south", f"{names.EXPORTED}-")
        around.kubectl(EAST, "delete", "service", "later")


def test_a_deleted_link_leaves_the_rest_of_the_ring_as_it_was(around: Lab) -> None:
    unlink(around, NORTH, to=EAST)
    around.wait(lambda: not mirrored(around, NORTH, EAST), what="east's backend is gone from north")
    for source, target in AROUND[1:]:
        assert ask(around, source, f"backend-{target}")["pod"] in backends(around, target)
    east = {item["spec"]["clusterName"] for item in around.get(EAST, "federatedtrustdomains", "-A")}
    assert not east, "nobody is registered with east any more"


# --- each with each -----------------------------------------------------------------------------------------------
def test_standbys_in_two_clusters_are_used_in_the_order_in_which_they_stand(all_pairs: Lab) -> None:
    lab = all_pairs
    east, south = backends(lab, EAST), backends(lab, SOUTH)
    lab.apply(NORTH, SPLIT)
    try:
        lab.wait(lambda: len(priorities(lab, "backend")) == 3, what="two standbys are known")
        with steady(lab, NORTH, "backend") as running:
            with scaled(lab, NORTH, 0):
                lab.wait(lambda: ask(lab, NORTH, "backend")["pod"] in east, what="east answers")
                with scaled(lab, EAST, 0):
                    lab.wait(lambda: ask(lab, NORTH, "backend")["pod"] in south, what="south answers")
                lab.wait(
                    lambda: ask(lab, NORTH, "backend")["pod"] in backends(lab, EAST), what="east answers once more"
                )
            lab.wait(lambda: ask(lab, NORTH, "backend")["pod"] in backends(lab, NORTH), what="north answers again")
            result = running.report()
    finally:
        lab.kubectl(NORTH, "delete", "trafficsplit", "backend")
    print(f"north, east, south, east, north: {result}")
    without_failure(result)


@pytest.fixture
def federated(all_pairs: Lab) -> Iterator[Lab]:
    """The backends of all three are one service."""
    each(lambda name: all_pairs.kubectl(name, "label", "service", "backend", f"{names.FEDERATED}=member"))
    all_pairs.wait(
        lambda: priorities(all_pairs, "backend-federated") == {0: {""}, 1: {EAST, SOUTH}}, what="three members"
    )
    yield all_pairs
    each(lambda name: all_pairs.kubectl(name, "label", "service", "backend", f"{names.FEDERATED}-"))


@contextmanager
def cut_off(lab: Lab) -> Iterator[None]:
    """East's machine is away without a word."""
    lab.node(EAST, "ip", "link", "set", "eth0", "down")
    try:
        yield
    finally:
        lab.node(EAST, "ip", "link", "set", "eth0", "up")


@contextmanager
def killed(lab: Lab) -> Iterator[None]:
    """`kill -9` of everything in east's pods, control plane and gateways too, at one moment."""
    pods = lab.get(EAST, "pods", "-A")
    inside.kill([number for pod in pods for number in inside.processes(lab, EAST, pod)])
    yield
    for name in ("backend", "frontend"):
        rollout(lab, EAST, name)
    rollout(lab, EAST, names.GATEWAY, namespace=EXTENSION)


@pytest.mark.parametrize("end", [cut_off, killed])
def test_a_federated_service_of_three_clusters_loses_two_of_them_and_no_get(
    federated: Lab, end: Callable[[Lab], AbstractContextManager[None]]
) -> None:
    """First the members here, then a whole cluster."""
    lab, host = federated, "backend-federated"
    east, south = backends(lab, EAST), backends(lab, SOUTH)
    with steady(lab, NORTH, host, connections=16) as running, scaled(lab, NORTH, 0):
        lab.wait(lambda: ask(lab, NORTH, host).get("pod") in east | south, what="others answer")
        shared = sample(lab, host, requests=200)["pods"]
        with end(lab):
            alone = sample(lab, host, requests=200)
        result = running.report()
    print(f"shared by {shared}; east {end.__name__}: {alone}; in all {result}")
    assert shared.keys() == east | south
    assert alone["failed"] == 0, alone["failures"]
    assert sum(alone["pods"].get(pod, 0) for pod in south) > 100
    without_failure(result, slowest=LONGEST_SILENCE)
    lab.wait(lambda: ask(lab, NORTH, "backend-east").get("pod") in east, what="east answers again")


# --- words --------------------------------------------------------------------------------------------------------
def sample(lab: Lab, host: str, *, requests: int) -> dict[str, Any]:
    """Who answers so many requests, beside the load."""
    with load(lab, host, connections=8, requests=requests, cluster=NORTH) as running:
        return running.finish()


def listed(lab: Lab, cluster: str, target: str) -> set[str]:
    """What a Link says that its target exports."""
    status = lab.get(cluster, "link", f"linkerd-{target}", "-n", EXTENSION)["status"]
    return {item["remoteRef"]["name"] for item in status["mirrorServices"]}


def tunnel(lab: Lab, cluster: str, target: str, authority: str) -> int:
    """What the target's gateway says to a cluster's frontend that asks for a way to an address."""
    service = lab.get(target, "service", names.GATEWAY, "-n", EXTENSION)
    address = service["status"]["loadBalancer"]["ingress"][0]["ip"]
    certificate = certificates.of_pod(lab, cluster, "deploy/frontend")
    context = certificates.client_context(certificate, roots=certificates.trust(lab, target)[1], alpn="h2")
    socket = inside.dial(inside.node_namespace(lab, cluster), (address, names.GATEWAY_PORT))
    connection = connect.Http2(connect.tls(socket, context, names.GATEWAY_SNI))
    return connection.connect(authority)[0].status


def priorities(lab: Lab, host: str) -> dict[int, set[str]]:
    """Which clusters proxies of north know behind a name, by priority; asking makes sure that one of them does."""
    ask(lab, NORTH, host)
    name = f"{host}.default.svc.cluster.local:8080"
    printed = lab.linkerd(NORTH, "diagnostics", "endpoints", name, "-o", "json", check=False)
    found: dict[int, set[str]] = {}
    for endpoint in json.loads(printed) if printed.startswith("[") else []:
        found.setdefault(endpoint["priority"], set()).add(endpoint["cluster"] or "")
    return found
