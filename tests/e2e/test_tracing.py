"""One request through two clusters is one trace: what their collectors are told, and what passes through."""

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.lab_fixture import EAST, WEST, Lab

from isthmus import names

pytestmark = pytest.mark.lab

PROGRAM = Path(__file__).with_name("collector.py").read_text()
PORT = 4317
CLIENT, SERVER = 3, 2
SAMPLED, UNSAMPLED = "01", "00"
Span = dict[str, Any]


def both(work: Callable[[str], None]) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(work, (EAST, WEST)))


def pod(name: str, container: dict[str, Any], *, inject: bool, **spec: Any) -> dict[str, Any]:
    annotations = {names.INJECT_ANNOTATION: "enabled" if inject else "disabled"}
    return {
        "metadata": {"name": name, "labels": {"app": name}, "annotations": annotations},
        "spec": {"containers": [{"name": name, **container}], "terminationGracePeriodSeconds": 0, **spec},
    }


def service(name: str, port: int, **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
    }


def collector() -> list[dict[str, Any]]:
    mounts = [{"name": "program", "mountPath": "/program"}]
    ready = {"tcpSocket": {"port": PORT}, "periodSeconds": 1}
    container = {
        "image": "debian",
        "command": ["python", "/program/collector.py"],
        "volumeMounts": mounts,
        "readinessProbe": ready,
    }
    volumes = [{"name": "program", "configMap": {"name": "collector"}}]
    program = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "collector"}}
    return [
        program | {"data": {"collector.py": PROGRAM}},
        {"apiVersion": "v1", "kind": "Pod", **pod("collector", container, inject=False, volumes=volumes)},
        service("collector", PORT),
    ]


def traced() -> list[dict[str, Any]]:
    template = pod("traced", {"image": "your-registry/backend"}, inject=True)
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "traced"}}, "template": template}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "traced"}, "spec": spec},
        service("traced", 8080, **{names.EXPORTED: "true"}),
    ]


CALLER = {
    "apiVersion": "v1",
    "kind": "Pod",
    **pod("caller", {"image": "curlimages/curl", "command": ["sleep", "600"]}, inject=True),
}


@pytest.fixture(scope="module")
def tracing(mesh: Lab) -> Iterator[Lab]:
    """Both clusters with a collector, and then `caller` in west and `traced` in east. No trace begins at them."""

    def install(cluster: str) -> None:
        mesh.apply(cluster, *collector())
        values = f"tracing.collector=collector.default:{PORT},tracing.sampling=0,tracing.clusterName={cluster}"
        mesh.apply(cluster, mesh.linkerd(cluster, "install", "--set", values))
        mesh.kubectl(cluster, "-n", "linkerd", "rollout", "status", "deploy/linkerd-proxy-injector", "--timeout=60s")
        mesh.apply(cluster, *(traced() if cluster == EAST else [CALLER]))
        mesh.kubectl(cluster, "wait", "pod", "-l", "app in (collector,caller,traced)", "--for=condition=Ready")

    def restore(cluster: str) -> None:
        mesh.kubectl(
            cluster, "delete", "deploy/traced", "pod/caller", "pod/collector", "svc/traced", "svc/collector",
            "cm/collector", "--ignore-not-found", "--wait=false",
        )  # fmt: skip
        mesh.apply(cluster, mesh.linkerd(cluster, "install"))
        mesh.kubectl(cluster, "-n", "linkerd", "rollout", "status", "deploy/linkerd-proxy-injector", "--timeout=60s")

    try:
        both(install)
        mesh.wait(lambda: mesh.get(WEST, "svc", "--field-selector=metadata.name=traced-cluster-east"), what="a mirror")
        yield mesh
    finally:
        both(restore)


def ask(mesh: Lab, *options: str) -> dict[str, str]:
    """The headers that reach the backend."""
    url = f"http://traced-{EAST}:8080/path?token=secret"
    answer = mesh.exec(WEST, "pod/caller", "curl", "-sS", "--retry", "5", *options, url, container="caller")
    return dict(json.loads(answer)["headers"])


def told(mesh: Lab, trace: str) -> tuple[Span, Span]:
    """The two spans of a trace, the one that began first before the other, each from its own cluster's collector."""

    def found() -> list[Span]:
        logs = "".join(mesh.kubectl(cluster, "logs", "collector") for cluster in (WEST, EAST))
        return [span for line in logs.splitlines() if (span := json.loads(line))["trace"] == trace]

    spans = mesh.wait(lambda: len(found()) >= 2 and found(), what=f"the spans of {trace}", timeout=15)
    client, server = sorted(spans, key=lambda span: int(span["began"]))
    return client, server


def test_a_request_through_two_clusters_is_one_trace(tracing: Lab) -> None:
    trace, mine, unwanted = uuid.uuid4().hex, uuid.uuid4().hex[:16], uuid.uuid4().hex
    ask(tracing, "-H", f"traceparent: 00-{unwanted}-{mine}-{UNSAMPLED}")
    heard = ask(tracing, "-H", f"traceparent: 00-{trace}-{mine}-{SAMPLED}", "-H", "tracestate: a=b")
    client, server = told(tracing, trace)
    assert (client["kind"], server["kind"]) == (CLIENT, SERVER)
    assert (client["parent"], server["parent"]) == (mine, client["span"])
    assert heard["traceparent"] == f"00-{trace}-{server['span']}-{SAMPLED}"
    assert heard["tracestate"] == "a=b"
    assert client["attributes"]["http.url"] == f"http://traced-{EAST}:8080/path"
    assert client["attributes"]["isthmus.gateway"] == f"gateway/{EAST}"
    assert client["attributes"]["isthmus.server_id"] != server["attributes"]["isthmus.client_id"]
    who = [
        tuple(span["resource"][key] for key in ("k8s.cluster.name", "service.name", "k8s.namespace.name"))
        for span in (client, server)
    ]
    assert who == [(WEST, "caller", "default"), (EAST, "traced", "default")]
    assert server["resource"]["k8s.pod.name"].startswith("traced-")
    logs = "".join(tracing.kubectl(cluster, "logs", "collector") for cluster in (WEST, EAST))
    assert unwanted not in logs
    assert "secret" not in logs


def test_check_finds_the_collector(tracing: Lab) -> None:
    assert "√ the collector of spans is there" in tracing.linkerd(WEST, "check", "--wait", "10s")


def test_sampling_is_changed_without_a_restart(tracing: Lab) -> None:
    tracing.kubectl(WEST, "annotate", "pod", "caller", "--overwrite", f"{names.TRACING_SAMPLING_ANNOTATION}=100")

    def begun() -> str:
        _, trace, _, flags = ask(tracing)["traceparent"].split("-")
        return trace if flags == SAMPLED else ""

    client, server = told(tracing, tracing.wait(begun, what="a trace that begins at the caller"))
    assert (client["parent"], server["parent"]) == ("", client["span"])
