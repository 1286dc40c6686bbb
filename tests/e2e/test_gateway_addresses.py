"""A gateway is reached wherever it is now: its load balancer moves, its name changes, one of its addresses dies."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.e2e.loading import Running, load
from tests.lab_fixture import EAST, WEST, Lab

pytestmark = pytest.mark.lab

NAMESPACE = "linkerd-multicluster"
GATEWAY = "linkerd-gateway"
LINK = "linkerd-cluster-east"
MIRROR = "backend-cluster-east"
ELSEWHERE = "172.30.10.77"
RATE = 200.0
BATCH = 200
SLOWEST = 2500.0
"""Milliseconds: two pings of a connection that is gone, a connection to the next address, and a retry."""


def test_a_load_balancer_that_gets_another_address_is_followed_without_a_failed_request(mesh: Lab) -> None:
    before = ingress(mesh, GATEWAY)
    with unending_load(mesh) as (running, results):
        move(mesh, ELSEWHERE)
        try:
            mesh.wait(lambda: addresses(mesh) == {f"{ELSEWHERE}:4143": "True"}, what="the Link follows", timeout=20)
            running.answered(BATCH)
            assert endpoints(mesh) == {ELSEWHERE}
        finally:
            move(mesh, before)
        mesh.wait(lambda: addresses(mesh) == {f"{before}:4143": "True"}, what="the Link comes back", timeout=20)
        running.answered(BATCH)
    assert_all_answered(results[0])


def test_one_of_two_addresses_may_die_without_a_failed_request(mesh: Lab) -> None:
    with second_address(mesh) as other, unending_load(mesh) as (running, results):
        first = ingress(mesh, GATEWAY)
        with linked_by(mesh, f"{first},{other}:4143"):
            mesh.wait(lambda: set(addresses(mesh).values()) == {"True"}, what="both addresses answer", timeout=20)
            running.answered(BATCH)
            with dropped(mesh, first):
                mesh.wait(
                    lambda: addresses(mesh) == {f"{first}:4143": "False", f"{other}:4143": "True"},
                    what="the dead address is told",
                    timeout=30,
                )
                assert f"{first}:4143 (silent)" in mesh.linkerd(WEST, "multicluster", "gateways", "-o", "wide")
                mesh.wait(lambda: endpoints(mesh) == {other}, what="the mirror shows it")
                running.answered(BATCH)
            mesh.wait(lambda: addresses(mesh)[f"{first}:4143"] == "True", what="it is told alive again", timeout=20)
    assert_all_answered(results[0])


def test_a_name_that_leads_elsewhere_is_followed_without_a_failed_request(mesh: Lab) -> None:
    first = ingress(mesh, GATEWAY)
    with second_address(mesh) as other, unending_load(mesh) as (running, results):
        mesh.apply(WEST, record(first), service("gw"))
        try:
            with linked_by(mesh, "gw.default.svc.cluster.local:4143"):
                mesh.wait(lambda: addresses(mesh) == {f"{first}:4143": "True"}, what="the name is used", timeout=20)
                running.answered(BATCH)
                mesh.apply(WEST, record(other))
                mesh.wait(lambda: endpoints(mesh) == {other}, what="the mirrors follow the name", timeout=20)
                running.answered(BATCH)
                mesh.kubectl(WEST, "delete", "endpointslice", "gw")
                mesh.wait(lambda: "does not resolve" in message(mesh), what="the Link tells", timeout=20)
                assert addresses(mesh) == {f"{other}:4143": "True"}
                running.answered(BATCH)
        finally:
            mesh.kubectl(WEST, "delete", "svc/gw", "endpointslice/gw", "--ignore-not-found")
    assert_all_answered(results[0])


def assert_all_answered(result: dict[str, Any]) -> None:
    print(result)
    assert result["failed"] == 0, result["failures"]
    assert result["slowest_ms"] < SLOWEST


@contextmanager
def unending_load(mesh: Lab) -> Iterator[tuple[Running, list[dict[str, Any]]]]:
    """Load until the block ends; the report is then in the list."""
    flag = f"/tmp/{uuid.uuid4().hex}"
    results: list[dict[str, Any]] = []
    with load(mesh, MIRROR, connections=4, requests=0, rate=RATE, until=flag) as running:
        try:
            running.answered(BATCH)
            yield running, results
        finally:
            mesh.exec(WEST, "deploy/frontend", "touch", flag, container="frontend")
            results.append(running.finish())


def move(mesh: Lab, address: str) -> None:
    patch = json.dumps({"spec": {"loadBalancerIP": address}})
    mesh.kubectl(EAST, "-n", NAMESPACE, "patch", "svc", GATEWAY, "-p", patch)


def ingress(mesh: Lab, name: str) -> str:
    found = mesh.wait(
        lambda: mesh.get(EAST, "svc", name, "-n", NAMESPACE)["status"]["loadBalancer"].get("ingress"),
        what=f"{name} has an address",
    )
    return str(found[0]["ip"])


@contextmanager
def second_address(mesh: Lab) -> Iterator[str]:
    """Another load balancer in front of the gateway."""
    made = mesh.get(EAST, "svc", GATEWAY, "-n", NAMESPACE)
    ports = [{"name": "mc-gateway", "port": 4143}]
    spec = {"type": "LoadBalancer", "selector": made["spec"]["selector"], "ports": ports}
    metadata = {"name": "second", "namespace": NAMESPACE}
    mesh.apply(EAST, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    try:
        yield ingress(mesh, "second")
    finally:
        mesh.kubectl(EAST, "-n", NAMESPACE, "delete", "svc", "second")


@contextmanager
def linked_by(mesh: Lab, text: str) -> Iterator[None]:
    """The Link says where the gateway is, as if it had been given by hand."""
    spec = mesh.get(WEST, "link", LINK, "-n", NAMESPACE)["spec"]
    before = {name: spec.get(name) for name in ("gatewayAddress", "gatewayService", "probeSpec")}
    often = {"period": "500ms", "timeout": "2s", "failureThreshold": "2"}
    patch(mesh, {"gatewayAddress": text, "gatewayService": None, "probeSpec": often})
    try:
        yield
    finally:
        patch(mesh, before)


def patch(mesh: Lab, spec: dict[str, Any]) -> None:
    change = json.dumps({"spec": spec})
    mesh.kubectl(WEST, "-n", NAMESPACE, "patch", "link", LINK, "--type", "merge", "-p", change)


@contextmanager
def dropped(mesh: Lab, address: str) -> Iterator[None]:
    """What is sent to an address of east vanishes without a word."""
    mesh.node(EAST, "nft", "add", "table", "ip", "silent")
    hook = "{ type filter hook prerouting priority raw; }"
    mesh.node(EAST, "nft", "add", "chain", "ip", "silent", "in", hook)
    mesh.node(EAST, "nft", "add", "rule", "ip", "silent", "in", "ip", "daddr", address, "drop")
    try:
        yield
    finally:
        mesh.node(EAST, "nft", "delete", "table", "ip", "silent")


def status(mesh: Lab) -> dict[str, Any]:
    found: dict[str, Any] = mesh.get(WEST, "link", LINK, "-n", NAMESPACE)["status"]
    return found


def addresses(mesh: Lab) -> dict[str, str]:
    return {each["address"]: each["alive"] for each in status(mesh)["gateways"]}


def message(mesh: Lab) -> str:
    return " ".join(each["message"] for each in status(mesh)["conditions"] if each["type"] == "GatewayAlive")


def endpoints(mesh: Lab) -> set[str]:
    """The ready addresses of the mirror."""
    slices = mesh.get(WEST, "endpointslices", "-l", f"kubernetes.io/service-name={MIRROR}")
    found = [each for item in slices for each in item.get("endpoints") or ()]
    return {each["addresses"][0] for each in found if each["conditions"]["ready"]}


def service(name: str) -> dict[str, Any]:
    """A headless Service whose addresses are written by hand: a name in the cluster's DNS."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"clusterIP": "None", "ports": [{"port": 4143}]},
    }


def record(address: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "gw", "labels": {"kubernetes.io/service-name": "gw"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"port": 4143, "protocol": "TCP", "name": ""}],
    }
