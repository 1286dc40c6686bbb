"""HTTPRoutes attached to a Service: shares, standbys, and what their status says; without the definitions, nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.loading import enough, lasting, load
from tests.lab_fixture import EAST, WEST, Lab

import isthmus.cli
from isthmus import names

pytestmark = pytest.mark.lab

BACKEND = Path(isthmus.cli.__file__).with_name("examples") / "backend.yaml"
DEFINITION = Path(__file__).with_name("httproutes.yaml")
LOCAL, REMOTE = "backend", "backend-cluster-east"
CONNECTIONS = 8
RATE = 500.0


def route(*backends: tuple[str, int], rule: dict[str, Any] | None = None, **annotations: str) -> dict[str, Any]:
    refs = [{"name": name, "port": 8080, "weight": weight} for name, weight in backends]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "backend", "namespace": "default", "annotations": annotations},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": LOCAL, "port": 8080}],
            "rules": [{"backendRefs": refs, **(rule or {})}],
        },
    }


@pytest.fixture(scope="module")
def routed(mesh: Lab) -> Iterator[Lab]:
    """West has a backend of its own, and the definition of HTTPRoutes."""
    mesh.kubectl(WEST, "apply", "-f", str(BACKEND), "-f", str(DEFINITION))
    mesh.kubectl(WEST, "rollout", "status", "deploy/backend", "--timeout", "60s")
    yield mesh
    mesh.kubectl(WEST, "delete", "-f", str(BACKEND), "-f", str(DEFINITION))


def test_a_route_shares_the_traffic_until_it_goes_and_says_that_it_does(routed: Lab) -> None:
    local, remote = backends(routed, WEST), backends(routed, EAST)
    with lasting(routed, LOCAL, connections=CONNECTIONS, rate=RATE) as running:
        running.answered(200)
        routed.apply(WEST, route((LOCAL, 1), (REMOTE, 1)))
        routed.wait(lambda: answering(routed) == local | remote, what="both answer")
        used = ("True", "Accepted", "This route is used.")
        routed.wait(lambda: condition(routed, "Accepted") == used, what="the route says so")
        routed.apply(WEST, route((LOCAL, 0), (REMOTE, 1)))
        routed.wait(lambda: answering(routed) == remote, what="a weight of 0 is no traffic")
        assert condition(routed, "ResolvedRefs")[0] == "True"
        routed.kubectl(WEST, "delete", "httproute", "backend")
        routed.wait(lambda: answering(routed) == local, what="the Service answers itself")
        result = enough(routed, running)
    print(f"shared, moved, deleted: {result}")
    assert result["failed"] == 0, result["failures"]


def test_the_annotation_makes_the_others_standbys_and_hosts_stay(routed: Lab) -> None:
    local, remote = backends(routed, WEST), backends(routed, EAST)
    routed.apply(WEST, route((LOCAL, 1), (REMOTE, 1), **{names.PRIMARY_ANNOTATION: LOCAL}))
    routed.wait(lambda: answering(routed) == local, what="the primary alone")
    with lasting(routed, LOCAL, connections=CONNECTIONS, rate=RATE) as running:
        running.answered(500)
        routed.kubectl(WEST, "scale", "deploy/backend", "--replicas", "0")
        routed.wait(lambda: answering(routed) == remote, what="east answers")
        headers = asked(routed)
        routed.kubectl(WEST, "scale", "deploy/backend", "--replicas", "3")
        routed.wait(lambda: answering(routed) & backends(routed, WEST), what="west answers again")
        result = enough(routed, running)
    print(f"scaled to 0 and back: {result}")
    assert result["failed"] == 0, result["failures"]
    assert headers["host"] == f"{LOCAL}:8080", "what the client wrote"
    routed.kubectl(WEST, "rollout", "status", "deploy/backend", "--timeout", "60s")
    routed.kubectl(WEST, "delete", "httproute", "backend")


def test_a_route_that_cannot_be_done_says_why_and_changes_nothing(routed: Lab) -> None:
    local = backends(routed, WEST)
    routed.apply(WEST, route((REMOTE, 1), rule={"matches": [{"method": "GET"}]}))
    routed.wait(lambda: condition(routed, "Accepted")[1] == "UnsupportedValue", what="the verdict")
    assert "matches are not supported" in condition(routed, "Accepted")[2].lower()
    assert answering(routed) == local
    log = routed.kubectl(WEST, "-n", "linkerd", "logs", "deploy/linkerd-destination", "-c", "destination")
    assert "HTTPRoute default/backend is not used" in log
    routed.apply(WEST, route((LOCAL, 1), ("nowhere", 1)))
    routed.wait(lambda: condition(routed, "ResolvedRefs")[1] == "BackendNotFound", what="the verdict")
    assert condition(routed, "Accepted")[0] == "True"
    assert answering(routed) == local
    routed.kubectl(WEST, "delete", "httproute", "backend")


# --- words --------------------------------------------------------------------------------------------------------
def condition(lab: Lab, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of a condition of the route."""
    parents = (lab.get(WEST, "httproute", "backend").get("status") or {}).get("parents") or [{"conditions": []}]
    found = [each for each in parents[0]["conditions"] if each["type"] == kind]
    return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else ("", "", "")


def backends(lab: Lab, cluster: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in lab.get(cluster, "pods", "-l", "app=backend")}


def answering(lab: Lab) -> set[str]:
    with load(lab, LOCAL, connections=2, requests=60) as running:
        return set(running.finish()["pods"])


def asked(lab: Lab) -> dict[str, str]:
    """The headers of a request from west, as whoever answered it saw them."""
    command = ("curl", "-sS", "--max-time", "5", f"http://{LOCAL}:8080/headers")
    found = json.loads(lab.exec(WEST, "deploy/frontend", *command, container="frontend"))
    return dict(found["headers"])
