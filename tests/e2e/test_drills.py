"""Drills: gateways, Links and control planes die, restart, come and go at 500 requests a second, and no GET fails.

All local backends killed, silenced, or scaled to nothing: `test_failover_split.py`. Credentials: `test_credentials.py`.
Roots: `test_rotation.py`. A whole cluster: `test_ring.py`.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.e2e import inside
from tests.e2e.observing import traffic
from tests.e2e.ring import (
    EAST,
    EXTENSION,
    NORTH,
    RATE,
    SOUTH,
    ask,
    backends,
    each,
    link,
    link_exactly,
    mirrored,
    rollout,
    scaled,
    steady,
    unlink,
    without_failure,
)
from tests.lab_fixture import Lab

from isthmus import names

pytestmark = pytest.mark.lab

HALF = RATE / 2
CONTROL_PLANE = (
    (names.CONTROL_PLANE_NAMESPACE, names.DESTINATION_DEPLOYMENT),
    (names.CONTROL_PLANE_NAMESPACE, names.IDENTITY_DEPLOYMENT),
    (names.CONTROL_PLANE_NAMESPACE, names.INJECTOR_DEPLOYMENT),
    (EXTENSION, names.MULTICLUSTER_CONTROLLER),
)
"""Deployments, by namespace."""


@pytest.fixture
def linked(ring: Lab) -> Lab:
    """North to east and back: two clusters, whose networks are the same."""
    link_exactly(ring, ((NORTH, EAST), (EAST, NORTH)))
    return ring


# --- gateways -----------------------------------------------------------------------------------------------------
def test_a_killed_gateway_of_two_costs_no_get(linked: Lab) -> None:
    """Each in turn, so that the one in use is among them."""
    pods = gateways(linked)
    assert len(pods) == 2
    with steady(linked, NORTH, "backend-east") as running:
        for pod in pods:
            kill(linked, EAST, {pod})
        result = running.report()
    print(f"both gateways killed, one after the other: {result}")
    without_failure(result)


def test_a_rolling_restart_of_the_gateway_costs_no_get(linked: Lab) -> None:
    before = gateways(linked)
    with steady(linked, NORTH, "backend-east") as running:
        restart(linked, EAST, EXTENSION, names.GATEWAY)
        linked.wait(lambda: not gateways(linked) & before, what="the old gateways are gone")
        result = running.report()
    print(f"gateways restarted: {result}")
    without_failure(result)


# --- links --------------------------------------------------------------------------------------------------------
def test_a_link_that_is_deleted_and_applied_again_disturbs_nobody_else(ring: Lab) -> None:
    """Whoever used it is told why, and served again as soon as it is back."""
    link_exactly(ring, ((NORTH, EAST), (NORTH, SOUTH)))
    address = ring.get(NORTH, "service", "backend-east")["spec"]["clusterIP"]
    url = "http://backend-east:8080/health"
    with (
        traffic(ring, url, cluster=NORTH) as by_name,
        traffic(ring, url, cluster=NORTH, resolved=address) as by_address,
        steady(ring, NORTH, "backend", rate=HALF) as local,
        steady(ring, NORTH, "backend-south", rate=HALF) as other,
    ):
        began = time.monotonic()
        unlink(ring, NORTH, to=EAST)
        gone = by_name.first(lambda text: text.startswith("000"), since=began, what="the name to be gone")
        why = by_address.first(lambda text: text.startswith("503"), since=began, what="a refusal")
        again = time.monotonic()
        link(ring, NORTH, to=EAST)
        back = by_name.first(lambda text: text.startswith("200"), since=again, what="answers from east")
        results = {"here": local.report(), "through the other Link": other.report()}
    print(f"refused {why.at - began:.2f} s after the command: {why.text}; the name gone after {gone.at - began:.2f} s;")
    print(f"answers {back.at - again:.2f} s after linking again; {results}")
    assert "endpoint" in why.text
    for result in results.values():
        without_failure(result)


def test_a_second_and_a_third_cluster_are_linked_while_there_is_traffic(ring: Lab) -> None:
    link_exactly(ring, ())
    with steady(ring, NORTH, "backend", rate=HALF) as local:
        link_all(ring, (NORTH, EAST), (EAST, NORTH))
        ring.wait(lambda: mirrored(ring, NORTH, EAST), what="east's backend in north")
        with steady(ring, NORTH, "backend-east", rate=HALF) as remote:
            third = ((NORTH, SOUTH), (SOUTH, NORTH), (EAST, SOUTH), (SOUTH, EAST))
            link_all(ring, *third)
            for source, target in third:
                ring.wait(
                    lambda source=source, target=target: ask(ring, source, f"backend-{target}")["status"] == "200",
                    what=f"{target} answers {source}",
                )
            results = {"here": local.report(), "to the second": remote.report()}
    print(f"none, two, three clusters: {results}")
    for result in results.values():
        without_failure(result)


# --- control planes -----------------------------------------------------------------------------------------------
def test_control_planes_end_and_return_unnoticed(linked: Lab) -> None:
    """All of the clients' is killed while all of the servers' is restarted; what proxies learn afterwards counts."""
    with (
        steady(linked, NORTH, "backend", rate=HALF) as local,
        steady(linked, NORTH, "backend-east", rate=HALF) as remote,
    ):
        each(lambda end: end(), [lambda: kill_control_plane(linked, NORTH), *restarts(linked, EAST)])
        results = {"here": local.report(), "to the other cluster": remote.report()}
    print(f"the control plane of north killed, that of east restarted: {results}")
    for result in results.values():
        without_failure(result)
    before = backends(linked, EAST)
    with scaled(linked, EAST, len(before) + 1):
        (new,) = linked.wait(lambda: backends(linked, EAST) - before, what="another backend")
        linked.wait(lambda: ask(linked, NORTH, "backend-east").get("pod") == new, what=f"an answer of {new}")


# --- words --------------------------------------------------------------------------------------------------------
def restart(lab: Lab, cluster: str, namespace: str, name: str) -> None:
    lab.kubectl(cluster, "-n", namespace, "rollout", "restart", f"deploy/{name}")
    rollout(lab, cluster, name, namespace=namespace)


def restarts(lab: Lab, cluster: str) -> list[Callable[[], None]]:
    return [partial(restart, lab, cluster, namespace, name) for namespace, name in CONTROL_PLANE]


def kill_control_plane(lab: Lab, cluster: str) -> None:
    kill(lab, cluster, {pod for namespace, name in CONTROL_PLANE for pod in pods_of(lab, cluster, namespace, name)})


def link_all(lab: Lab, *pairs: tuple[str, str]) -> None:
    each(lambda pair: link(lab, pair[0], to=pair[1]), pairs)


def gateways(lab: Lab) -> set[str]:
    return pods_of(lab, EAST, EXTENSION, names.GATEWAY)


def pods_of(lab: Lab, cluster: str, namespace: str, deployment: str) -> set[str]:
    names_of_pods = (pod["metadata"]["name"] for pod in lab.get(cluster, "pods", "-n", namespace))
    return {name for name in names_of_pods if name.startswith(f"{deployment}-")}


def kill(lab: Lab, cluster: str, pods: set[str]) -> None:
    """`kill -9` of everything in some pods at one moment; waits until all of it was started again and is ready."""

    def chosen() -> dict[str, dict[str, Any]]:
        found = {pod["metadata"]["name"]: pod for pod in lab.get(cluster, "pods", "-A")}
        return {name: found[name] for name in pods}

    before = chosen()
    inside.kill([number for pod in before.values() for number in inside.processes(lab, cluster, pod)])
    lab.wait(
        lambda: all(is_ready(pod) and starts(pod) > starts(before[name]) for name, pod in chosen().items()),
        what=f"{pods} are back",
    )


def is_ready(pod: dict[str, Any]) -> bool:
    return {item["type"]: item["status"] for item in pod["status"]["conditions"]}["Ready"] == "True"


def starts(pod: dict[str, Any]) -> int:
    """How often containers of a pod were started again."""
    kinds = ("initContainerStatuses", "containerStatuses")
    return sum(state["restartCount"] for kind in kinds for state in pod["status"].get(kind) or ())
