"""A federated service: here first, else in the other cluster; through gateways, with equal pod addresses."""

import json
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import inside
from tests.e2e.loading import load
from tests.lab_fixture import EAST, WEST, Lab

import isthmus.cli
from isthmus import names
from isthmus.lab.topology import POD_NETWORK

pytestmark = pytest.mark.lab

BACKEND = Path(isthmus.cli.__file__).with_name("examples") / "backend.yaml"
HOST = "backend-federated"
CONNECTIONS = 8
RATE = 500.0
LONGEST_GAP = 2000.0
"""Milliseconds that one request may take while the traffic moves to another cluster."""


@pytest.fixture(scope="module")
def union(mesh: Lab) -> Iterator[Lab]:
    """West is linked to east, and both have a member."""
    mesh.kubectl(WEST, "apply", "-f", str(BACKEND))
    mesh.kubectl(WEST, "rollout", "status", "deploy/backend", "--timeout", "60s")
    for cluster in (EAST, WEST):
        label(mesh, cluster, f"{names.FEDERATED}=member")
    mesh.wait(lambda: mesh.kubectl(WEST, "get", "service", HOST, "--ignore-not-found"), what="the federated service")
    mesh.wait(lambda: groups(mesh) == {("-", 0): 3, (EAST, 1): 3}, what="members in both clusters")
    yield mesh
    label(mesh, EAST, f"{names.FEDERATED}-")
    mesh.kubectl(WEST, "delete", "-f", str(BACKEND))
    mesh.wait(
        lambda: not mesh.kubectl(WEST, "get", "service", HOST, "--ignore-not-found"), what="the last one out is gone"
    )


def test_losing_every_member_here_costs_no_get_and_they_take_over_again(union: Lab) -> None:
    here, there = union.get(WEST, "pods", "-l", "app=backend"), backends(union, EAST)
    assert all(ip_address(pod["status"]["podIP"]) in POD_NETWORK for pod in here), "the same network as east's pods"
    targets = [number for pod in here for number in inside.processes(union, WEST, pod)]
    with load(union, HOST, connections=CONNECTIONS, requests=1, seconds=8, rate=RATE) as running:
        running.answered(500)
        assert who(union)["pod"] in {pod["metadata"]["name"] for pod in here}
        inside.kill(targets)
        union.wait(lambda: who(union)["pod"] in there, what="east answers")
        union.wait(lambda: who(union)["pod"] not in there, what="west answers again")
        result = running.finish()
    print(f"{len(targets)} processes of {len(here)} pods killed: {result}")
    assert result["failed"] == 0, result["failures"]
    assert result["slowest_ms"] < LONGEST_GAP
    assert sum(result["pods"].get(pod, 0) for pod in there) > 0


def test_a_member_that_leaves_leaves_the_traffic_to_the_others(union: Lab) -> None:
    with load(union, HOST, connections=CONNECTIONS, requests=1, seconds=3, rate=RATE) as running:
        running.answered(200)
        label(union, WEST, f"{names.FEDERATED}-")
        union.wait(lambda: groups(union) == {(EAST, 0): 3}, what="east alone")
        answer = who(union)
        label(union, WEST, f"{names.FEDERATED}=member")
        union.wait(lambda: groups(union) == {("-", 0): 3, (EAST, 1): 3}, what="both again")
        result = running.finish()
    print(f"west left and joined again: {result}")
    assert result["failed"] == 0, result["failures"]
    assert answer["client_id"].endswith("/ns/default/sa/frontend"), "east's pod knows who asks, not which gateway"


# --- words --------------------------------------------------------------------------------------------------------
def label(lab: Lab, cluster: str, change: str) -> None:
    lab.kubectl(cluster, "label", "service", "backend", change, "--overwrite")


def backends(lab: Lab, cluster: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in lab.get(cluster, "pods", "-l", "app=backend")}


def groups(lab: Lab) -> dict[tuple[str, int], int]:
    """How many endpoints proxies in west have, by cluster and priority; asking makes sure that one of them does."""
    who(lab, check=False)
    name = f"{HOST}.default.svc.cluster.local:8080"
    printed = lab.linkerd(WEST, "diagnostics", "endpoints", name, "-o", "json", check=False)
    found: dict[tuple[str, int], int] = {}
    for each in json.loads(printed) if printed.startswith("[") else []:
        key = (each["cluster"] or "-", each["priority"])
        found[key] = found.get(key, 0) + 1
    return found


def who(lab: Lab, *, check: bool = True) -> dict[str, Any]:
    """The answer to a request from west."""
    command = ("curl", "-sS", "--max-time", "5", "--retry", "0", f"http://{HOST}:8080/health")
    words = ("exec", "deploy/frontend", "-c", "frontend", "--", *command)
    printed = lab.kubectl(WEST, *words, check=check)
    return dict(json.loads(printed)) if check else {}
