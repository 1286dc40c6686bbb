"""Drills: gateways, Links and control planes die, restart, come and go at 500 requests a second, and no GET fails.

All local backends killed, silenced, or scaled to nothing: `test_failover_split.py`. Credentials: `test_credentials.py`.
Roots: `test_rotation.py`. A whole cluster: `test_ring.py`.
"""

import time

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
CONTROL_PLANES = tuple(
    (cluster, namespace, name)
    for cluster in (NORTH, EAST)
    for namespace, name in (
        (names.CONTROL_PLANE_NAMESPACE, names.DESTINATION_DEPLOYMENT),
        (names.CONTROL_PLANE_NAMESPACE, names.IDENTITY_DEPLOYMENT),
        (names.CONTROL_PLANE_NAMESPACE, names.INJECTOR_DEPLOYMENT),
        (EXTENSION, names.MULTICLUSTER_CONTROLLER),
    )
)
"""Deployments, by cluster and namespace."""


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
            kill(linked, EAST, EXTENSION, pod)
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
@pytest.mark.parametrize("killed", [NORTH, EAST], ids=["killed here", "killed there"])
def test_control_planes_end_and_return_unnoticed(linked: Lab, killed: str) -> None:
    """All of one cluster is killed while all of the other's is restarted; what proxies learn afterwards counts."""
    with (
        steady(linked, NORTH, "backend", rate=HALF) as local,
        steady(linked, NORTH, "backend-east", rate=HALF) as remote,
    ):
        each(lambda one: (kill_all if one[0] == killed else restart)(linked, *one), CONTROL_PLANES)
        results = {"here": local.report(), "to the other cluster": remote.report()}
    print(f"{len(CONTROL_PLANES)} deployments, those of {killed} killed: {results}")
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


def kill_all(lab: Lab, cluster: str, namespace: str, name: str) -> None:
    for pod in pods_of(lab, cluster, namespace, name):
        kill(lab, cluster, namespace, pod)


def link_all(lab: Lab, *pairs: tuple[str, str]) -> None:
    each(lambda pair: link(lab, pair[0], to=pair[1]), pairs)


def gateways(lab: Lab) -> set[str]:
    return pods_of(lab, EAST, EXTENSION, names.GATEWAY)


def pods_of(lab: Lab, cluster: str, namespace: str, deployment: str) -> set[str]:
    names_of_pods = (pod["metadata"]["name"] for pod in lab.get(cluster, "pods", "-n", namespace))
    return {name for name in names_of_pods if name.startswith(f"{deployment}-")}


def kill(lab: Lab, cluster: str, namespace: str, name: str) -> None:
    """`kill -9` of everything in a pod; waits until all of it was started again and is ready."""
    pod = lab.get(cluster, "pod", name, "-n", namespace)
    before = starts(pod)
    inside.kill(list(inside.processes(lab, cluster, pod)))

    def is_back() -> bool:
        now = lab.get(cluster, "pod", name, "-n", namespace)
        ready = {item["type"]: item["status"] for item in now["status"]["conditions"]}["Ready"]
        return ready == "True" and starts(now) > before

    lab.wait(is_back, what=f"{name} is back")


def starts(pod: dict[str, object]) -> int:
    """How often containers of a pod were started again."""
    status = pod["status"]
    assert isinstance(status, dict)
    kinds = ("initContainerStatuses", "containerStatuses")
    return sum(state["restartCount"] for kind in kinds for state in status.get(kind) or ())
