"""What was sent is what the tables say: `linkerd viz` on two linked clusters."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.lab_fixture import EAST, WEST, Lab

from isthmus.lab.images import find_program

pytestmark = pytest.mark.lab

GOOD, BAD = 24, 6
MIRROR = "http://backend-cluster-east:8080"
PROMETHEUS = find_program("prometheus") is not None
NOT_INSTALLED = "there is no Prometheus: `make setup` fetches Debian's where there is apt"
REQUEST_RATE = 'sum by (dst_cluster) (\n  rate(request_total{dst_cluster!=""}[5m])\n)'
LATENCY = (
    "histogram_quantile(0.95,\n  sum by (dst_cluster, le) (\n"
    '    rate(response_latency_ms_bucket{dst_cluster!=""}[5m])\n  )\n)'
)
SENT = 'sum(request_total{direction="outbound",dst_cluster="cluster-east",namespace="default",deployment="frontend"})'


@pytest.fixture(scope="module")
def viz(mesh):
    """The extension in both clusters, with Prometheus in west where this machine has it, and known traffic."""

    def install(cluster):
        mesh.apply(cluster, mesh.linkerd(cluster, "viz", "install", *_settings(cluster)))
        mesh.kubectl(cluster, "-n", "linkerd-viz", "rollout", "status", "deploy", "--timeout", "60s")

    def uninstall(cluster):
        mesh.kubectl(cluster, "delete", "-f", "-", stdin=mesh.linkerd(cluster, "viz", "uninstall"))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(install, (EAST, WEST)))
        yield mesh
        list(pool.map(uninstall, (EAST, WEST)))


def _settings(cluster: str) -> list[str]:
    settings = ["prometheus.scrapeInterval=1s", f"prometheus.enabled={str(PROMETHEUS and cluster == WEST).lower()}"]
    return [word for setting in settings for word in ("--set", setting)]


def send(mesh: Lab, path: str, count: int) -> None:
    loop = f"for i in $(seq {count}); do curl -sS -o /dev/null {MIRROR}{path}; done"
    mesh.exec(WEST, "deploy/frontend", "sh", "-c", loop, container="frontend")


def numbers(mesh: Lab, cluster: str, *words: str) -> dict[str, dict]:
    """Rows by name, with `requests`: what the rate says was counted."""
    rows = json.loads(mesh.linkerd(cluster, "viz", "stat", *words, "-o", "json"))
    return {row["name"]: row | {"requests": (row["rps"] or 0) * row["window_seconds"]} for row in rows}


def promql(mesh: Lab, query: str) -> list[dict]:
    (pod,) = mesh.get(WEST, "pods", "-n", "linkerd-viz", "-l", "component=prometheus")
    command = ("curl", "-sSG", "--data-urlencode", f"query={query}", "http://127.0.0.1:9090/api/v1/query")
    found = mesh.exec(WEST, pod["metadata"]["name"], *command, namespace="linkerd-viz", container="prometheus")
    return json.loads(found)["data"]["result"]


def counted(mesh: Lab) -> float:
    return sum(float(each["value"][1]) for each in promql(mesh, SENT))


def test_the_tables_say_what_was_sent_across_clusters(viz):
    before = numbers(viz, WEST, "deploy/frontend", "--to", "svc/backend-cluster-east", "-t", "10m")
    assert before == {} or before["frontend"]["requests"] == 0
    send(viz, "/health", GOOD)
    send(viz, "/status/500", BAD)

    to_mirror = numbers(viz, WEST, "deploy/frontend", "--to", "svc/backend-cluster-east", "-t", "10m")["frontend"]
    assert to_mirror["requests"] == pytest.approx(GOOD + BAD)
    assert to_mirror["success"] == pytest.approx(GOOD / (GOOD + BAD))
    assert to_mirror["meshed"] == "2/2"
    service = numbers(viz, WEST, "svc", "-t", "10m")["backend-cluster-east"]
    assert (service["requests"], service["success"]) == pytest.approx((GOOD + BAD, GOOD / (GOOD + BAD)))
    table = viz.linkerd(WEST, "viz", "stat", "deploy/frontend", "--to", "svc/backend-cluster-east", "-t", "10m")
    header, row = (line.split() for line in table.splitlines())
    assert header == ["NAME", "MESHED", "SUCCESS", "RPS", "LATENCY_P50", "LATENCY_P95", "LATENCY_P99", "TCP_CONN"]
    assert row[:3] == ["frontend", "2/2", "80.00%"]

    # The gateway cannot read requests, so it tells connections and bytes, and no request.
    gateway = numbers(viz, EAST, "deploy/linkerd-gateway", "-n", "linkerd-multicluster", "-t", "10m")["linkerd-gateway"]
    assert (gateway["success"], gateway["rps"]) == (None, None)
    assert gateway["tcp_open_connections"] >= 1
    assert gateway["tcp_read_bytes_rate"] > 0

    edges = json.loads(viz.linkerd(EAST, "viz", "edges", "deploy", "-o", "json"))
    (edge,) = [each for each in edges if each["src_kind"] == "serviceaccount"]
    assert (edge["src"], edge["dst"], edge["src_cluster"] != "") == ("frontend", "backend", True)
    assert edge["success"] == pytest.approx(GOOD / (GOOD + BAD))
    assert edge["no_tls_reason"] == ""
    outbound = viz.linkerd(WEST, "viz", "stat-outbound", "deploy/frontend", "-t", "10m")
    assert "backend-cluster-east (cluster-east)" in outbound
    lines = viz.linkerd(WEST, "viz", "edges", "deploy", "-o", "wide").splitlines()
    assert [line for line in lines if "cluster-east:deploy/backend" in line and line.endswith("√")]


def test_what_cannot_be_told_is_said_in_one_line(viz):
    for words, sentence in (
        (("stat", "deploy/nobody"), "There is no deployment nobody in namespace default."),
        (("stat", "teapot"), '"teapot" is no kind of resource'),
        (("stat", "deploy", "--from", "svc/backend"), "--from svc/backend: numbers come from the proxies of pods"),
        (("stat", "deploy", "-t", "5s"), "a window of 5 s cannot be told"),
        (("stat", "deploy", "-n", "empty"), "No traffic found."),
    ):
        told = viz.linkerd(WEST, "viz", *words, check=False)
        assert sentence in told
        assert "Traceback" not in told


def test_the_check_finds_a_whole_extension_and_what_is_missing(viz):
    told = viz.linkerd(EAST, "viz", "check", "--wait", "20s")
    assert told.endswith("Status check results are √\n")
    viz.kubectl(EAST, "-n", "linkerd-viz", "scale", "deploy/metrics-api", "--replicas", "0")
    viz.kubectl(EAST, "-n", "linkerd-viz", "wait", "pod", "-l", "component=metrics-api", "--for", "delete")
    told = viz.linkerd(EAST, "viz", "check", "--wait", "0s", check=False)
    assert "× viz extension pods are running\n    there is no pod of metrics-api" in told  # noqa: RUF001
    told = viz.linkerd(EAST, "viz", "stat", "deploy", check=False)
    assert 'There is no pod of the metrics API in context "cluster-east".' in told


@pytest.mark.skipif(not PROMETHEUS, reason=NOT_INSTALLED)
def test_both_queries_of_the_tutorial_return_what_was_sent(viz):
    send(viz, "/health", 1)
    before = viz.wait(lambda: counted(viz), what="Prometheus has read the frontend's proxy")
    send(viz, "/health", GOOD)
    viz.wait(lambda: counted(viz) >= before + GOOD, what=f"{GOOD} more requests in Prometheus, {before} before")
    rates = {each["metric"]["dst_cluster"]: float(each["value"][1]) for each in promql(viz, REQUEST_RATE)}
    assert rates["cluster-east"] > 0
    latency = viz.wait(lambda: told_latency(viz), what="latencies of the requests")
    assert 0 < latency < 5000


def told_latency(mesh: Lab) -> float | None:
    """A proxy's histograms follow its counters by some seconds."""
    found = [each for each in promql(mesh, LATENCY) if each["metric"] == {"dst_cluster": "cluster-east"}]
    value = float(found[0]["value"][1]) if found else math.nan
    return None if math.isnan(value) else value
