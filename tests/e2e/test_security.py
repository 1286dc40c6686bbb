"""Who is let in: at the gateway, at pods that are exported, and at pods that are not."""

import contextlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from tests.e2e import certificates, connect, inside
from tests.e2e.certificates import Certificate
from tests.e2e.connect import Answer, Bytes, Http2, RefusedError
from tests.lab_fixture import EAST, WEST, Lab

from isthmus import names
from isthmus.mesh.model import Identity

pytestmark = pytest.mark.lab

BACKEND_SNI = f"8080.backend.default.{names.MESH_SNI_SUFFIX}"
FORGED = "spiffe://somebody.else/ns/default/sa/root"
GET_READY = ((":method", "GET"), (":scheme", "https"), (":authority", "gateway"), (":path", "/ready"))
PROMPT = 2.9
"""Less than the time a gateway waits for the control plane: it must know the answer, not give up."""


@dataclass(frozen=True)
class Scene:
    """East as seen by an attacker who sits on west's node and holds the frontend's certificate."""

    lab: Lab
    gateway: str
    west: str
    east: str
    east_roots: str
    frontend: Certificate
    backend: dict[str, Any]
    controller: dict[str, Any]

    def gateway_connection(
        self, certificate: Certificate | None, *, server_name: str | None = names.GATEWAY_SNI
    ) -> Http2:
        """A connection to east's gateway from outside of east."""
        socket = inside.dial(inside.node_namespace(self.lab, WEST), (self.gateway, names.GATEWAY_PORT))
        context = certificates.client_context(certificate, roots=self.east_roots, alpn="h2")
        return Http2(connect.tls(socket, context, server_name))

    def ask_gateway(self, certificate: Certificate | None) -> Answer:
        return self.gateway_connection(certificate).request(*GET_READY)

    def ask_pod(self, pod: dict[str, Any], port: int, path: str, certificate: Certificate | None) -> Answer:
        """A request to a pod of east from east's node, in the name of `certificate`."""
        socket = inside.dial(inside.node_namespace(self.lab, EAST), (pod["status"]["podIP"], port))
        context = certificates.client_context(certificate, roots=self.east_roots, alpn="http/1.1")
        return connect.http1_get(connect.tls(socket, context, f"{port}.any.any.{names.MESH_SNI_SUFFIX}"), path)

    def ask_through_gateway(self, certificate: Certificate | None, **headers: str) -> Answer:
        """A request to the backend inside a tunnel that the frontend has opened, in the name of `certificate`."""
        accepted, tunnel = self.gateway_connection(self.frontend).connect(f"{self.backend['status']['podIP']}:8080")
        assert accepted.status == 200
        context = certificates.client_context(certificate, roots=self.east_roots, alpn="http/1.1")
        return connect.http1_get(connect.tls(tunnel, context, BACKEND_SNI), "/health", **headers)


@pytest.fixture(scope="module")
def scene(mesh: Lab) -> Scene:
    gateway = mesh.get(EAST, "svc", "-n", names.MULTICLUSTER_NAMESPACE, names.GATEWAY)
    west, _ = certificates.trust(mesh, WEST)
    east, east_roots = certificates.trust(mesh, EAST)
    return Scene(
        lab=mesh,
        gateway=gateway["status"]["loadBalancer"]["ingress"][0]["ip"],
        west=west,
        east=east,
        east_roots=east_roots,
        frontend=certificates.of_pod(mesh, WEST, "deploy/frontend"),
        backend=mesh.get(EAST, "pods", "-l", "app=backend")[0],
        controller=mesh.get(
            EAST,
            "pods",
            "-n",
            names.MULTICLUSTER_NAMESPACE,
            "-l",
            f"linkerd.io/proxy-deployment={names.MULTICLUSTER_CONTROLLER}",
        )[0],
    )


def strangers(scene: Scene) -> dict[str, Certificate | None]:
    """Everyone who is nobody's workload, or not the one that the certificate says."""
    unknown = certificates.stranger()
    west, east = (certificates.issuer_of(scene.lab, cluster) for cluster in (WEST, EAST))
    of_west = Identity(scene.west, "default", "frontend")
    of_east = Identity(scene.east, "default", "default")
    return {
        "nobody: no certificate": None,
        "a cluster that is not linked": certificates.issue(unknown, Identity("north.local", "default", "frontend")),
        "an unknown authority that claims west's frontend": certificates.issue(unknown, of_west),
        "an unknown authority that claims east's own": certificates.issue(unknown, of_east),
        "east's authority that claims west's frontend": certificates.issue(east, of_west),
        "west's authority that claims east's own": certificates.issue(west, of_east),
        "west's frontend of the day before yesterday": certificates.issue(west, of_west, age=timedelta(days=2)),
    }


# --- identities that arrive ---------------------------------------------------------------------------------------
def test_client_and_server_know_each_other(mesh: Lab, scene: Scene) -> None:
    """Neither learns the gateway's name."""
    answer = from_frontend(mesh)
    assert answer.headers[names.SERVER_ID_HEADER] == names.spiffe_id(scene.east, "default", "default")
    assert json.loads(answer.body)["client_id"] == names.spiffe_id(scene.west, "default", "frontend")


def test_a_client_cannot_say_who_it_is(mesh: Lab, scene: Scene) -> None:
    claims = ("-H", f"l5d-client-id: {FORGED}", "-H", f"L5d-Client-Id: {FORGED}")
    assert FORGED not in from_frontend(mesh, *claims).body.decode()
    answer = scene.ask_through_gateway(scene.frontend, l5d_client_id=FORGED)
    assert json.loads(answer.body)["headers"][names.CLIENT_ID_HEADER] == names.spiffe_id(
        scene.west, "default", "frontend"
    )


def test_a_client_without_a_proxy_is_nobody_whatever_it_says(scene: Scene) -> None:
    socket = inside.dial(inside.node_namespace(scene.lab, EAST), (scene.backend["status"]["podIP"], 8080))
    answer = connect.http1_get(socket, "/health", l5d_client_id=FORGED)
    assert answer.status == 200
    assert names.CLIENT_ID_HEADER not in json.loads(answer.body)["headers"]


def test_no_bytes_pass_for_requests_where_a_service_declares_http(mesh: Lab, scene: Scene) -> None:
    """A server may be more generous than every parser before it; its port's `appProtocol` is what counts."""
    odd = f"GET /\u00fc HTTP/1.1\r\nhost: backend\r\nl5d-client-id: {FORGED}\r\nconnection: close\r\n\r\n".encode()
    script = "import socket,sys;s=socket.create_connection(('backend-cluster-east',8080));"
    script += f"s.sendall({odd!r});print(s.makefile('rb').read())"
    heard = mesh.exec(WEST, "deploy/frontend", "python", "-c", script, container="frontend")
    print(heard)
    assert FORGED not in heard
    where = inside.dial(inside.node_namespace(mesh, EAST), (scene.backend["status"]["podIP"], 8080))
    where.sendall(odd)
    assert FORGED not in where.makefile("rb").read().decode()


# --- the gateway --------------------------------------------------------------------------------------------------
def test_the_gateway_answers_workloads_of_linked_clusters_only(scene: Scene) -> None:
    assert scene.ask_gateway(scene.frontend).status == 200
    made_here = certificates.issue(certificates.issuer_of(scene.lab, WEST), Identity(scene.west, "default", "frontend"))
    assert scene.ask_gateway(made_here).status == 200, "what this test makes would be let in if it were genuine"
    for who, certificate in strangers(scene).items():
        refused = refusal(scene.ask_gateway, certificate)
        print(f"{who}: {refused}")
        assert refused, f"the gateway answered {who}"


def test_the_gateway_has_one_name_and_speaks_tls_only(scene: Scene) -> None:
    for name in (None, BACKEND_SNI, "example.com", names.MESH_SNI_SUFFIX, f"x.{names.GATEWAY_SNI}"):
        refused = refusal(scene.gateway_connection, scene.frontend, server_name=name)
        print(f"server name {name}: {refused}")
        assert refused, f"the gateway answered to the name {name}"
    where = inside.node_namespace(scene.lab, WEST)
    for say in (connect.http1_get, http2_get):
        assert refusal(say, inside.dial(where, (scene.gateway, names.GATEWAY_PORT)), "/ready")


def test_the_gateway_leads_to_exported_services_only(scene: Scene) -> None:
    ip = scene.backend["status"]["podIP"]
    pods = {
        pod["metadata"]["labels"].get(names.COMPONENT_LABEL): pod["status"]["podIP"]
        for pod in scene.lab.get(EAST, "pods", "-n", names.CONTROL_PLANE_NAMESPACE)
    }
    gateway_pod = scene.lab.get(EAST, "pods", "-n", names.MULTICLUSTER_NAMESPACE, "-l", f"component={names.GATEWAY}")[0]
    service = scene.lab.get(EAST, "svc", "backend")
    forged = [
        f"{pods['destination']}:{names.DESTINATION_PORT}",
        f"{pods['identity']}:{names.IDENTITY_PORT}",
        f"{scene.controller['status']['podIP']}:9990",
        "10.96.0.1:443",
        "172.30.0.11:6443",
        "10.96.0.10:53",
        *(f"127.0.0.1:{port}" for port in (4140, 4143, 4191, 4192)),
        *(f"{gateway_pod['status']['podIP']}:{port}" for port in (4143, 4191)),
        *(f"{ip}:{port}" for port in (4143, 4191, 8081, 0, 65536, 99999)),
        f"{service['spec']['clusterIP']}:8080",
        *(ip, f"{ip}:", ":8080", "", "..", "../", f"../{ip}:8080", f"//{ip}:8080"),
        f"outbound/{ip}:8080",
        "outbound/10.96.0.1:443",
        f"export/{ip}:8080",
        f"{ip}:8080/../outbound/10.96.0.1:443",
        f"{ip}:8080,10.96.0.1:443",
        f"{ip}:8080 10.96.0.1:443",
        f"{ip}:08080",
        f"0{ip}:8080",
        f"[::ffff:{ip}]:8080",
        "[::1]:4191",
        "backend.default.svc.cluster.local:8080",
        "passthrough",
        "application",
        "xds",
        "1" * 50_000,
    ]
    allowed, _ = scene.gateway_connection(scene.frontend).connect(f"{ip}:8080")
    assert allowed.status == 200

    def ask(authority: str) -> tuple[int | str, float]:
        began = time.monotonic()
        outcome = status_or_refusal(scene, (":method", "CONNECT"), (":authority", authority))
        return outcome, time.monotonic() - began

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(ask, forged))
    for authority, (outcome, took) in zip(forged, outcomes, strict=True):
        print(f"{authority[:60]!r:64} {outcome} in {1000 * took:.0f} ms")
    assert [authority for authority, (outcome, _) in zip(forged, outcomes, strict=True) if outcome == 200] == []
    assert max(took for _, took in outcomes) < PROMPT


@pytest.mark.parametrize("cluster", ["passthrough", "application", "xds", "outbound/10.96.0.1:443"])
def test_a_header_chooses_no_destination(scene: Scene, cluster: str) -> None:
    forged = (names.DESTINATION_HEADER, cluster)
    assert status_or_refusal(scene, (":method", "CONNECT"), (":authority", "10.96.0.1:443"), forged) != 200


def test_the_gateway_forwards_no_requests(scene: Scene) -> None:
    """Tunnels only: what is inside is for the pod alone."""
    authority = f"{scene.backend['status']['podIP']}:8080"
    for path in ("/health", "/"):
        target = ((":scheme", "http"), (":authority", authority), (":path", path))
        assert status_or_refusal(scene, (":method", "GET"), *target) == 404
        assert status_or_refusal(scene, (":method", "POST"), *target) == 404
        assert status_or_refusal(scene, (":method", "CONNECT"), (":protocol", "websocket"), *target) != 200


# --- pods ---------------------------------------------------------------------------------------------------------
def test_an_exported_pod_answers_workloads_of_linked_clusters_only(scene: Scene) -> None:
    """Also when the tunnel was opened by someone who may."""
    assert scene.ask_through_gateway(scene.frontend).status == 200
    for who, certificate in strangers(scene).items():
        assert refusal(scene.ask_through_gateway, certificate), f"{who} was answered"


def test_a_pod_that_is_not_exported_answers_its_own_cluster_only(scene: Scene) -> None:
    own = certificates.of_pod(scene.lab, EAST, "deploy/backend")
    port, path = 9990, "/live"
    assert scene.ask_pod(scene.controller, port, path, own).status == 200
    assert scene.ask_pod(scene.backend, 8080, "/health", scene.frontend).status == 200
    assert refusal(scene.ask_pod, scene.controller, port, path, scene.frontend)


# --- words --------------------------------------------------------------------------------------------------------
def from_frontend(lab: Lab, *options: str) -> Answer:
    """What the frontend's own container gets from the backend in east."""
    text = lab.exec(
        *(WEST, "deploy/frontend", "curl", "-sS", "--fail-with-body", "-i", *options),
        "http://backend-cluster-east:8080/health",
        container="frontend",
    )
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    first, *lines = head.split("\n")
    return Answer(int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body.encode())


def http2_get(connection: Bytes, path: str) -> Answer:
    return Http2(connection).request(*GET_READY[:-1], (":path", path))


def refusal(ask: Callable[..., object], *words: Any, **more: Any) -> str:
    """Why there was no answer; empty when there was one."""
    try:
        ask(*words, **more)
    except RefusedError as error:
        return str(error) or "closed"
    return ""


def status_or_refusal(scene: Scene, *headers: tuple[str, str]) -> int | str:
    with contextlib.suppress(RefusedError):
        return scene.gateway_connection(scene.frontend).send(*headers, end=False)[1].status
    return "closed"
