"""A StatefulSet of another cluster: each of its pods has the name here that it has there."""

import json
from collections.abc import Iterator

import pytest
from tests.lab_fixture import EAST, WEST, Lab

pytestmark = pytest.mark.lab

NAMESPACE = "databases"
IMAGE = "your-registry/backend:latest"
EXPORTED = "mirror.linkerd.io/exported"
LABELS = {"app": "db"}


def stateful() -> list[dict[str, object]]:
    container = {
        "name": "db",
        "image": IMAGE,
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
    }
    injected = {"labels": LABELS, "annotations": {"linkerd.io/inject": "enabled"}}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "db", "namespace": NAMESPACE, "annotations": {EXPORTED: "true"}},
            "spec": {"clusterIP": "None", "selector": LABELS, "ports": [{"name": "http", "port": 8080}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "db", "namespace": NAMESPACE},
            "spec": {
                "serviceName": "db",
                "replicas": 2,
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": LABELS},
                "template": {"metadata": injected, "spec": {"containers": [container]}},
            },
        },
    ]


@pytest.fixture
def databases(mesh: Lab) -> Iterator[None]:
    """The StatefulSet in east, and its namespace in both clusters."""
    for cluster in (EAST, WEST):
        mesh.kubectl(cluster, "create", "namespace", NAMESPACE)
    mesh.apply(EAST, *stateful())
    yield
    for cluster in (EAST, WEST):
        mesh.kubectl(cluster, "delete", "namespace", NAMESPACE)


def answers(lab: Lab, name: str) -> str:
    """Which pod answers to a name, asked by the frontend in west."""
    url = f"http://{name}.{NAMESPACE}.svc.cluster.local:8080/"
    got = lab.exec(WEST, "deploy/frontend", "sh", "-c", f"curl -s -m 2 {url} || true", container="frontend")
    try:
        return str(json.loads(got)["pod"])
    except (ValueError, KeyError):
        return ""


def mirrors(lab: Lab) -> dict[str, str]:
    """Names and cluster IPs of the Services in west."""
    found = lab.get(WEST, "services", "-n", NAMESPACE)
    return {item["metadata"]["name"]: item["spec"]["clusterIP"] for item in found}


def test_each_pod_answers_to_its_own_name_and_a_pod_that_is_gone_loses_it(mesh: Lab, databases: None) -> None:
    for pod in ("db-0", "db-1"):
        mesh.wait(lambda pod=pod: answers(mesh, f"{pod}.db-{EAST}") == pod, what=f"{pod} to answer to its name")
    assert answers(mesh, f"db-0-{EAST}") == "db-0"
    assert answers(mesh, f"db-{EAST}") in ("db-0", "db-1")
    made = mirrors(mesh)
    assert made.keys() == {f"db-{EAST}", f"db-0-{EAST}", f"db-1-{EAST}"}
    assert made[f"db-{EAST}"] == "None"

    mesh.kubectl(EAST, "-n", NAMESPACE, "scale", "statefulset/db", "--replicas=1")
    mesh.wait(lambda: mirrors(mesh).keys() == {f"db-{EAST}", f"db-0-{EAST}"}, what="the mirror of db-1 to go")
    assert answers(mesh, f"db-1.db-{EAST}") == ""
    assert answers(mesh, f"db-0.db-{EAST}") == "db-0"
    mesh.kubectl(EAST, "-n", NAMESPACE, "annotate", "service/db", f"{EXPORTED}-")
    mesh.wait(lambda: not mirrors(mesh), what="all mirrors to go")
