"""What someone between the clusters can read: TLS 1.3, and no more."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from tests.e2e import inside, wire
from tests.e2e.wire import Capture, Flow, Stream
from tests.lab_fixture import EAST, WEST, Lab

from isthmus import names

pytestmark = pytest.mark.lab

API_PORT = 6443
CLIENT = "wire-client"
PLAIN_WORDS = (b"HTTP/1.1", b"PRI * HTTP/2.0", b"l5d-client-id", b"spiffe://", b"backend", b"frontend", b"default")


@pytest.fixture
def client(mesh: Lab) -> Iterator[Any]:
    """A meshed pod that has never spoken to anyone, so that its connections are seen from their first byte."""
    yield lambda: start_client(mesh)
    mesh.kubectl(WEST, "delete", "pod", CLIENT, "--now", "--ignore-not-found")


def test_between_the_clusters_there_is_tls_13_and_no_plaintext(mesh: Lab, client: Any) -> None:
    path, header, body = (f"marker-{uuid.uuid4().hex}" for _ in range(3))
    node = inside.node_namespace(mesh, WEST)
    with wire.capture(node, "eth0") as between:
        pod = client()
        with wire.capture(inside.pod_namespace(mesh, WEST, pod), "lo") as in_pod:
            answer = mesh.exec(
                *(WEST, CLIENT, "curl", "-sS", "--fail-with-body", "-H", f"x-marker: {header}", "-d", body * 100),
                f"http://backend-cluster-east:8080/{path}",
                container="client",
            )
    assert path in answer
    assert header in answer
    streams = between.streams()
    assert between.dropped == in_pod.dropped == 0
    markers = [marker.encode() for marker in (path, header, body)]
    for marker in markers:
        assert wire.holding(marker, in_pod.streams().values()), "the capture in the pod shows what there is to find"
    for marker in (*markers, huffman(header), huffman(f"/{path}")):
        assert wire.holding(marker, streams.values()) == 0
    shaken = gateway_handshakes(streams)
    print(report(between, streams, shaken))
    assert shaken
    assert {server.version for _, server in shaken} == {wire.TLS_1_3}
    assert {client.server_name for client, _ in shaken} == {names.GATEWAY_SNI}
    tunnels = [stream for flow, stream in streams.items() if names.GATEWAY_PORT in (flow.source_port, flow.target_port)]
    for words in PLAIN_WORDS:
        assert wire.holding(words, tunnels) == 0, f"{words!r} can be read between the clusters"


def test_nothing_else_goes_between_the_clusters(mesh: Lab) -> None:
    """Tunnels and the Kubernetes API, each TLS 1.3 from its first byte to its last; no other connections at all."""
    nodes = [inside.node_namespace(mesh, cluster) for cluster in (EAST, WEST)]
    with wire.capture(nodes[0], "eth0") as east, wire.capture(nodes[1], "eth0") as west:
        mesh.kubectl(EAST, "-n", "default", "rollout", "restart", "deploy/backend")
        mesh.kubectl(WEST, "-n", "linkerd-multicluster", "rollout", "restart", "deploy/linkerd-multicluster-controller")
        mesh.kubectl(EAST, "-n", "default", "rollout", "status", "deploy/backend", "--timeout", "60s")
        mesh.kubectl(
            *(WEST, "-n", "linkerd-multicluster", "rollout", "status"),
            *("deploy/linkerd-multicluster-controller", "--timeout", "60s"),
        )
        call = ("curl", "-sS", "--fail-with-body", "http://backend-cluster-east:8080/health")
        for _ in range(10):
            mesh.exec(WEST, "deploy/frontend", *call, container="frontend")
        mesh.wait(lambda: gateway_handshakes(west.streams()), what="a probe of the gateway by the new controller")
    for side in (east, west):
        assert side.dropped == 0
        assert side.others() == set()
        streams = side.streams()
        ports = {min(flow.source_port, flow.target_port) for flow in streams}
        shaken = gateway_handshakes(streams)
        print(report(side, streams, shaken), "ports", sorted(ports))
        assert {server.version for _, server in shaken} == {wire.TLS_1_3}
        assert ports == {names.GATEWAY_PORT, API_PORT}
        whole = [stream.data for stream in streams.values() if stream.whole and stream.data]
        assert whole
        for data in whole:
            assert list(wire.records(data))


# --- words --------------------------------------------------------------------------------------------------------
def huffman(text: str) -> bytes:
    """A header's value as HTTP/2 writes it, encrypted or not."""
    return bytes(HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text.encode()))


def gateway_handshakes(streams: dict[Flow, Stream]) -> list[tuple[wire.Hello, wire.Hello]]:
    """Both hellos of every connection to a gateway that was seen from its beginning."""
    pairs = (
        (stream, streams[flow.back])
        for flow, stream in streams.items()
        if flow.target_port == names.GATEWAY_PORT and flow.back in streams
    )
    return [
        (wire.hello(there.data), wire.hello(back.data))
        for there, back in pairs
        if there.whole and back.whole and there.data and back.data
    ]


def report(capture: Capture, streams: dict[Flow, Stream], shaken: list[Any]) -> str:
    return (
        f"{len(capture.packets)} packets, {capture.size} bytes, {len(streams) // 2} connections, "
        f"{len(shaken)} TLS 1.3 handshakes with the gateway"
    )


def start_client(lab: Lab) -> dict[str, Any]:
    container = {"name": "client", "image": "curlimages/curl", "command": ["sleep", "1000"]}
    lab.apply(
        WEST,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": CLIENT, "namespace": "default", "annotations": {names.INJECT_ANNOTATION: "enabled"}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
        },
    )
    lab.kubectl(WEST, "wait", "pod", CLIENT, "--for", "condition=Ready", "--timeout", "60s")
    found: dict[str, Any] = lab.get(WEST, "pod", CLIENT)
    return found
