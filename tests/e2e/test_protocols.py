"""What two programs speak in one cluster, they speak through a gateway too: with proxies at both ends, or at one."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.e2e import certificates, inside, wire
from tests.lab_fixture import EAST, WEST, Lab

from isthmus import names

pytestmark = pytest.mark.lab

PORTS = {"http": 8081, "grpc": 9000, "bytes": 7000, "greeting": 3306}
SERVERS, CLIENTS = (Path(__file__).with_name(name).read_text() for name in ("servers.py", "clients.py"))
MESHED, UNPROXIED = "meshed", "unproxied"
DETECTION = 2.5
"""Less than the 3 s after which a proxy gives up waiting for a client to speak first."""


@dataclass(frozen=True)
class Seen:
    """What the clients saw, and what went over the cable meanwhile."""

    clients: dict[str, Any]
    marker: bytes
    between: wire.Capture


@pytest.fixture(scope="module")
def servers(mesh: Lab) -> Iterator[None]:
    """The same servers twice in east, exported: in a pod with a proxy and in one without."""
    objects = [item for name in (MESHED, UNPROXIED) for item in exported(name, inject=name == MESHED)]
    program = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("servers"), "data": {"servers.py": SERVERS}}
    mesh.apply(EAST, {"apiVersion": "v1", "kind": "List", "items": [program, *objects]})
    try:
        for name in (MESHED, UNPROXIED):
            mesh.kubectl(EAST, "rollout", "status", f"deploy/{name}", "--timeout", "60s")
            mesh.wait(partial(mirror, mesh, name), what=f"west has a mirror of {name}")
        yield
    finally:
        for name in (MESHED, UNPROXIED):
            mesh.kubectl(EAST, "delete", "deploy,svc", name, "--ignore-not-found")
        mesh.kubectl(EAST, "delete", "cm", "servers", "--ignore-not-found")
        mesh.wait(lambda: not mirror(mesh, MESHED) + mirror(mesh, UNPROXIED), what="the mirrors are gone")


@pytest.fixture(scope="module")
def meshed(mesh: Lab, servers: None) -> Seen:
    return ask(mesh, MESHED)


@pytest.fixture(scope="module")
def unproxied(mesh: Lab, servers: None) -> Seen:
    return ask(mesh, UNPROXIED)


@pytest.fixture(params=[MESHED, UNPROXIED])
def either(request: pytest.FixtureRequest) -> Seen:
    seen: Seen = request.getfixturevalue(request.param)
    return seen


def test_grpc(either: Seen) -> None:
    """Unary, streams both ways, a megabyte in one message, and the status of a call that fails."""
    found = either.clients["rpc"]
    assert found["large"]
    assert found["echoed"]
    assert found["error"] == "NOT_FOUND: no such thing"


def test_bodies_of_a_megabyte(either: Seen) -> None:
    found = either.clients["http"]
    assert found["up"]
    assert found["down"]


def test_websocket(either: Seen) -> None:
    found = either.clients["websocket"]
    assert found["echoed"]
    assert found["closed"] == 1000


def test_bytes(either: Seen) -> None:
    """A megabyte there and back; the end of one side's stream arrives before the other side ends its own."""
    assert either.clients["client_first"]["echoed"]


def test_a_server_that_speaks_first(either: Seen) -> None:
    found = either.clients["server_first"]
    assert found["greeting"] == "welcome, speak after me\n"
    assert found["waited"] < DETECTION
    assert found["echoed"]


def test_identities_in_every_protocol(mesh: Lab, meshed: Seen) -> None:
    west, east = (certificates.trust(mesh, cluster)[0] for cluster in (WEST, EAST))
    frontend = names.spiffe_id(west, "default", "frontend")
    assert {meshed.clients[kind]["client"] for kind in ("rpc", "http", "websocket")} == {frontend}
    assert meshed.clients["http"]["server"] == names.spiffe_id(east, "default", "default")


def test_a_server_without_a_proxy_has_no_identity_to_show(unproxied: Seen) -> None:
    assert unproxied.clients["http"]["server"] == ""


def test_nothing_can_be_read_between_the_clusters(either: Seen) -> None:
    """Also where the server has no proxy: the tunnel is encrypted up to its cluster's gateway."""
    streams = either.between.streams()
    print(f"{either.between.size} bytes captured")
    assert either.between.dropped == 0
    assert sum(len(stream.data) for stream in streams.values()) > 4_000_000
    assert wire.holding(either.marker, streams.values()) == 0


def test_http2_with_prior_knowledge(mesh: Lab, servers: None) -> None:
    """As curl speaks it; the answer is gRPC's, to a method that it does not have."""
    for name in (MESHED, UNPROXIED):
        printed = mesh.exec(
            *(
                WEST,
                "deploy/frontend",
                "curl",
                "-sS",
                "--http2-prior-knowledge",
                "-H",
                "content-type: application/grpc",
            ),
            *("-w", "%{http_version} %{http_code} %header{grpc-status}", "-X", "POST", "-H", "te: trailers"),
            f"http://{name}-{EAST}:9000/e2e/Nothing",
            container="frontend",
        )
        assert printed == "2 200 12", name


# --- words --------------------------------------------------------------------------------------------------------
def ask(lab: Lab, name: str) -> Seen:
    marker = f"marker-{uuid.uuid4().hex}"
    words = ("exec", "-i", "deploy/frontend", "-c", "frontend", "--", "python", "-", f"{name}-{EAST}", marker)
    with wire.capture(inside.node_namespace(lab, WEST), "eth0") as between:
        printed = lab.kubectl(WEST, *words, stdin=CLIENTS)
    clients = msgspec.json.decode(printed)
    for kind, found in clients.items():
        print(f"{name}: {kind}: {found}")
        assert "failed" not in found, f"{kind}: {found['failed']}"
    return Seen(clients, marker.encode(), between)


def mirror(lab: Lab, name: str) -> str:
    return lab.kubectl(WEST, "get", "svc", f"{name}-{EAST}", "--ignore-not-found", "-o", "name")


def meta(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "default", **more}


def exported(name: str, *, inject: bool) -> list[dict[str, Any]]:
    labels = {"app": name}
    container = {
        "name": "servers",
        "image": "debian",
        "command": ["python", "/servers/servers.py"],
        "volumeMounts": [{"name": "servers", "mountPath": "/servers"}],
        "readinessProbe": {"tcpSocket": {"port": PORTS["greeting"]}, "periodSeconds": 1},
    }
    template = {
        "metadata": {
            "labels": labels,
            "annotations": {names.INJECT_ANNOTATION: "enabled" if inject else "disabled"},
        },
        "spec": {
            "containers": [container],
            "volumes": [{"name": "servers", "configMap": {"name": "servers"}}],
            "terminationGracePeriodSeconds": 1,
        },
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta(name),
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta(name, annotations={names.EXPORTED: "true"}),
        "spec": {"selector": labels, "ports": [{"name": key, "port": port} for key, port in PORTS.items()]},
    }
    return [deployment, service]
