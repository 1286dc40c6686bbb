"""Known traffic, and what the tables of `linkerd viz` must say of it: exactly what was sent."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import number_client
from tests.lab_fixture import EAST, WEST, Lab

from isthmus import names

SERVER, CLIENT = (Path(__file__).with_name(name).read_text() for name in ("number_server.py", "number_client.py"))
GOOD, BAD, SLOW = 15, 5, 5
SENT = GOOD + BAD + SLOW
P95, P99 = 1750, 1950
"""Five of 25 answers come between 1,000 and 2,000 ms: the quantiles lie at 3.75 and 4.75 fifths of that bucket."""
PROTOCOLS = {"HTTP/1.1": 8081, "HTTP/2": 8082, "gRPC": 9000}
BYTES_PORT = 7000
BYTES = number_client.CONNECTIONS * number_client.BYTES
REQUESTS, STREAMS = "counted", "counted-bytes"
"""The Services: one for requests and one for bytes, so that connections of one do not count for the other."""
WHOLE = ("-t", "10m", "-o", "json")


@contextmanager
def viz(lab: Lab) -> Iterator[None]:
    """The extension in both clusters, without Prometheus."""

    def install(cluster: str) -> None:
        lab.apply(cluster, lab.linkerd(cluster, "viz", "install", "--set", "prometheus.enabled=false"))
        lab.kubectl(cluster, "-n", names.VIZ_NAMESPACE, "rollout", "status", "deploy", "--timeout", "60s")

    def uninstall(cluster: str) -> None:
        """Whole, so that it can be installed again at once."""
        lab.kubectl(cluster, "delete", "-f", "-", stdin=lab.linkerd(cluster, "viz", "uninstall"))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(install, (EAST, WEST)))
        try:
            yield
        finally:
            list(pool.map(uninstall, (EAST, WEST)))


@contextmanager
def servers(lab: Lab, **labels: str) -> Iterator[None]:
    """What answers, in east, behind two Services with these labels."""
    objects = [*_workload(), *(_service(name, ports, labels) for name, ports in _services())]
    lab.apply(EAST, {"apiVersion": "v1", "kind": "List", "items": objects})
    try:
        lab.kubectl(EAST, "rollout", "status", f"deploy/{REQUESTS}", "--timeout", "60s")
        yield
    finally:
        lab.kubectl(EAST, "delete", "deploy,cm", REQUESTS)
        lab.kubectl(EAST, "delete", "svc", REQUESTS, STREAMS)


def require_exact(lab: Lab, suffix: str) -> None:
    """Send from west to `counted<suffix>` and `counted-bytes<suffix>`, and compare every table with it."""
    for name in (REQUESTS, STREAMS):
        words = ("get", "svc", f"{name}{suffix}", "--ignore-not-found", "-o", "name")
        lab.wait(lambda words=words: lab.kubectl(WEST, *words), what=f"{name}{suffix} in west")
    authorities = {
        protocol: f"{REQUESTS}{suffix}.default.svc.cluster.local:{port}" for protocol, port in PROTOCOLS.items()
    }
    before = _inbound(lab)
    with _traffic(lab, f"{REQUESTS}{suffix}", f"{STREAMS}{suffix}"):
        clients = lab.wait(lambda: _complete(_client(lab), authorities.values()), what="all latencies", timeout=30)
        for protocol, authority in authorities.items():
            _require(clients[authority], protocol)
        together = _rows(lab, WEST, "stat", "deploy/frontend", "--to", f"svc/{REQUESTS}{suffix}")["frontend"]
        assert _counted(together) == (len(PROTOCOLS) * SENT, 0.8), "requests of one client"
        streams = _rows(lab, WEST, "stat", "deploy/frontend", "--to", f"svc/{STREAMS}{suffix}")["frontend"]
        assert streams["tcp_open_connections"] == number_client.CONNECTIONS
        assert _bytes(streams) == (BYTES, BYTES)
        after = _inbound(lab)
    for protocol, port in PROTOCOLS.items():
        now, then = after[port], before.get(port, (0, 0))
        assert (now[0] - then[0], now[1] - then[1]) == (SENT, SENT - BAD), f"{protocol}, as the server saw it"
    table = lab.linkerd(WEST, "viz", "stat", "au", "--from", "deploy/frontend", "-t", "10m").splitlines()
    for protocol, authority in authorities.items():
        (line,) = [line.split() for line in table if line.startswith(authority)]
        assert (line[2], *line[5:7]) == ("80.00%", f"{P95}ms", f"{P99}ms"), protocol


def _complete(rows: dict[str, dict[str, Any]], names: Iterable[str]) -> dict[str, dict[str, Any]] | None:
    """The rows, once every histogram knows what its counters know: it follows them by some seconds."""
    print({name: {key: value for key, value in row.items() if value is not None} for name, row in rows.items()})
    found = [rows.get(name, {}).get("latency_ms_p99") for name in names]
    return rows if found == [P99] * len(found) else None


def _require(row: dict[str, Any], protocol: str) -> None:
    assert _counted(row) == (SENT, 0.8), protocol
    assert row["latency_ms_p50"] < 1000, protocol
    assert (row["latency_ms_p95"], row["latency_ms_p99"]) == (P95, P99), protocol


@contextmanager
def _traffic(lab: Lab, *hosts: str) -> Iterator[None]:
    """Everything was answered as wished; connections stay open while the context is."""
    inside = ("python", "-c", CLIENT, *hosts, *map(str, (GOOD, BAD, SLOW)))
    words = ("kubectl", "--context", WEST, "exec", "-i", "deploy/frontend", "-c", "frontend", "--", *inside)
    process = subprocess.Popen(
        words,
        env=lab.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "holding\n":
            pytest.fail(process.communicate(timeout=60)[1])
        yield
    finally:
        process.communicate(timeout=60)


# --- tables -------------------------------------------------------------------------------------------------------
def _rows(lab: Lab, cluster: str, *words: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(lab.linkerd(cluster, "viz", *words, *WHOLE))}


def _client(lab: Lab) -> dict[str, dict[str, Any]]:
    return _rows(lab, WEST, "stat", "au", "--from", "deploy/frontend")


def _counted(row: dict[str, Any]) -> tuple[float, float]:
    return pytest.approx(row["rps"] * row["window_seconds"]), pytest.approx(row["success"])


def _bytes(row: dict[str, Any]) -> tuple[float, float]:
    read, written = (row[f"tcp_{way}_bytes_rate"] * row["window_seconds"] for way in ("read", "write"))
    return pytest.approx(read), pytest.approx(written)


def _inbound(lab: Lab) -> dict[int, tuple[int, int]]:
    """Port -> requests and successes, as the server's proxies counted them."""
    found = json.loads(lab.linkerd(EAST, "viz", "stat-inbound", f"deploy/{REQUESTS}", *WHOLE))
    return {int(row["server"].rpartition(":")[2]): _absolute(row) for row in found}


def _absolute(row: dict[str, Any]) -> tuple[int, int]:
    requests = row["rps"] * row["window_seconds"]
    return round(requests), round(requests * row["success"])


# --- objects ------------------------------------------------------------------------------------------------------
def _services() -> list[tuple[str, dict[str, int]]]:
    requests = {f"port-{port}": port for port in PROTOCOLS.values()}
    return [(REQUESTS, requests), (STREAMS, {"bytes": BYTES_PORT})]


def _service(name: str, ports: dict[str, int], labels: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {
            "selector": {"app": REQUESTS},
            "ports": [{"name": each, "port": port} for each, port in ports.items()],
        },
    }


def _workload() -> list[dict[str, Any]]:
    metadata = {"name": REQUESTS, "namespace": "default"}
    labels = {"app": REQUESTS}
    container = {
        "name": "server",
        "image": "debian",
        "command": ["python", "/server/server.py"],
        "volumeMounts": [{"name": "server", "mountPath": "/server"}],
        "readinessProbe": {"tcpSocket": {"port": BYTES_PORT}, "periodSeconds": 1},
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "server", "configMap": {"name": REQUESTS}}],
        "terminationGracePeriodSeconds": 1,
    }
    pod = {"metadata": {"labels": labels, "annotations": {names.INJECT_ANNOTATION: "enabled"}}, "spec": spec}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"server.py": SERVER}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod},
        },
    ]
