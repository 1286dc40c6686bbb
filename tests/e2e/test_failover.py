"""A remote pod that dies without a word under load costs nobody an answer."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.e2e import inside
from tests.e2e.loading import load
from tests.lab_fixture import EAST, Lab

pytestmark = pytest.mark.lab

CONNECTIONS = 8
BEFORE = 1000
REQUESTS = 3000
SECONDS = 4.0
LONGEST_SILENCE = 2000.0
"""Milliseconds: two pings of a connection, and a try at another pod."""


def everything(command_line: str) -> bool:
    return True


def application_only(command_line: str) -> bool:
    return "backend.py" in command_line


def proxy_only(command_line: str) -> bool:
    return command_line.startswith("envoy ")


@pytest.mark.parametrize("dies", [everything, application_only, proxy_only])
def test_kill_9_of_a_remote_pod_costs_no_get(mesh: Lab, dies: Callable[[str], bool]) -> None:
    victim = mesh.get(EAST, "pods", "-l", "app=backend")[0]
    found = inside.processes(mesh, EAST, victim)
    targets = [number for number, command_line in found.items() if dies(command_line)]
    assert targets
    with load(mesh, "backend-cluster-east", connections=CONNECTIONS, requests=REQUESTS, seconds=SECONDS) as running:
        running.answered(BEFORE)
        inside.kill(targets)
        result = running.finish()
    print(f"{len(targets)} of {len(found)} processes of {victim['metadata']['name']} killed: {result}")
    assert result["failed"] == 0, result["failures"]
    assert result["requests"] >= REQUESTS
    assert result["pods"][victim["metadata"]["name"]] > BEFORE / 6, "the victim had its share before"
    mesh.wait(lambda: restarts(mesh, victim) > count(victim), what="the pod's containers are started again")
    mesh.kubectl(EAST, "rollout", "status", "deploy/backend", "--timeout", "60s")
    mesh.wait(lambda: answers(mesh, victim), what="requests reach the pod again")


def test_a_remote_pod_that_falls_silent_costs_no_get(mesh: Lab) -> None:
    """Nothing is refused, nothing is closed, nothing answers."""
    victim = mesh.get(EAST, "pods", "-l", "app=backend")[0]
    with load(mesh, "backend-cluster-east", connections=CONNECTIONS, requests=REQUESTS, seconds=SECONDS) as running:
        running.answered(BEFORE)
        silence(mesh, victim, "add")
        try:
            result = running.finish()
        finally:
            silence(mesh, victim, "del")
    print(f"{victim['metadata']['name']} silenced: {result}")
    assert result["failed"] == 0, result["failures"]
    assert result["requests"] >= REQUESTS
    assert result["slowest_ms"] < LONGEST_SILENCE
    mesh.wait(lambda: answers(mesh, victim), what="requests reach the pod again")
    mesh.kubectl(EAST, "rollout", "status", "deploy/backend", "--timeout", "60s")


# --- words --------------------------------------------------------------------------------------------------------
def silence(lab: Lab, pod: dict[str, Any], change: str) -> None:
    """Have the node drop (`add`), or no longer drop (`del`), what is sent to the pod."""
    lab.node(EAST, "ip", "route", change, "blackhole", f"{pod['status']['podIP']}/32")


def count(pod: dict[str, Any]) -> int:
    kinds = ("initContainerStatuses", "containerStatuses")
    return sum(state["restartCount"] for kind in kinds for state in pod["status"].get(kind) or ())


def restarts(lab: Lab, pod: dict[str, Any]) -> int:
    return count(lab.get(EAST, "pod", pod["metadata"]["name"]))


def answers(lab: Lab, pod: dict[str, Any]) -> bool:
    with load(lab, "backend-cluster-east", connections=1, requests=30) as running:
        result = running.finish()
    return result["failed"] == 0 and pod["metadata"]["name"] in result["pods"]
