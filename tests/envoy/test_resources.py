"""Envoy accepts everything the builders can make, and equal models make equal bytes."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.envoy.harness import envoy_binary
from tests.envoy.roots import Authority

from isthmus import names
from isthmus.envoy import absent, bootstrap, gateway, listeners, outbound, resources, tls
from isthmus.mesh.model import (
    Address,
    Endpoint,
    ExportCluster,
    GatewayCluster,
    Identity,
    OutboundCluster,
    ProxyConfig,
    ServicePort,
    Trust,
)

CLUSTER = "outbound/10.96.0.5:80"
NETWORKS = ("10.0.0.0/8", "fd00::/8")

labels = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
identities = st.builds(Identity, trust_domain=labels, namespace=labels, service_account=labels)
addresses = st.builds(Address, host=st.ip_addresses().map(str), port=st.integers(1, 65535))
endpoints = st.builds(
    Endpoint,
    address=addresses,
    identity=st.none() | identities,
    gateway=st.none() | labels,
    weight=st.integers(0, 100),
    backend=st.sampled_from(["", "web", "api"]),
)
destinations = st.builds(
    OutboundCluster,
    name=st.just(CLUSTER),
    service=st.builds(ServicePort, namespace=labels, name=labels, port=st.integers(1, 65535)),
    priorities=st.lists(st.lists(endpoints, max_size=3).map(tuple), max_size=3).map(tuple),
)


@settings(max_examples=25)
@given(destinations)
def test_every_endpoint_has_a_transport_of_its_own(destination: OutboundCluster) -> None:
    matches = [dict(match.match) for match in outbound.cluster(destination).transport_socket_matches]
    wanted = [
        dict(endpoint.metadata.filter_metadata["envoy.transport_socket_match"])
        for group in outbound.load_assignment(destination).endpoints
        for endpoint in group.lb_endpoints
    ]
    assert all(wanted.count(match) >= 1 and matches.count(match) == 1 for match in matches)
    assert all(match in matches for match in wanted)


@settings(max_examples=25)
@given(destinations)
def test_endpoints_behind_different_gateways_are_never_confused(destination: OutboundCluster) -> None:
    behind = {(endpoint.gateway, endpoint.address) for endpoint in destination.endpoints if endpoint.gateway}
    internal = {
        endpoint.endpoint.address.envoy_internal_address.endpoint_id
        for group in outbound.load_assignment(destination).endpoints
        for endpoint in group.lb_endpoints
        if endpoint.endpoint.address.HasField("envoy_internal_address")
    }
    assert len(internal) == len(behind)


@settings(max_examples=25)
@given(destinations)
def test_equal_models_make_equal_bytes(destination: OutboundCluster) -> None:
    assert resources.encode(outbound.cluster(destination)) == resources.encode(outbound.cluster(destination))


@settings(max_examples=25)
@given(destinations, destinations)
def test_the_version_changes_with_the_content(one: OutboundCluster, other: OutboundCluster) -> None:
    first, second = (resources.encode(outbound.load_assignment(each)) for each in (one, other))
    assert (first.version == second.version) == (first.body == second.body)


def test_a_resource_is_known_by_its_name() -> None:
    encoded = resources.encode(outbound.load_assignment(OutboundCluster(CLUSTER, ServicePort("a", "b", 80), ())))
    assert encoded.name == CLUSTER
    assert encoded.type_url == "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def test_a_proxy_without_a_collector_has_nothing_of_tracing_in_it() -> None:
    silent, traced = (
        b"".join(
            resources.encode(each).body
            for each in listeners.listeners(ProxyConfig("sidecar", NETWORKS, (), (), sampling=sampling))
        )
        for sampling in (None, 0)
    )
    for word in (b"opentelemetry", b"collector", b"request_id"):
        assert word not in silent
        assert word in traced


@pytest.mark.envoy
@pytest.mark.parametrize("role", ["sidecar", "gateway"])
def test_envoy_accepts_everything(role: Any, tmp_path: Path) -> None:
    config = _bootstrap()
    config["static_resources"]["listeners"] = [
        _json(listener)
        for networks, opaque in ((NETWORKS, (25, 3306)), ((), ()))
        for listener in listeners.listeners(ProxyConfig(role, networks, opaque, opaque[:1], sampling=0))
    ]
    config["static_resources"]["clusters"] += [_json(cluster) for cluster in _clusters()]
    config["static_resources"]["secrets"] = [_json(tls.trust(_trust()))]
    (tmp_path / "envoy.json").write_text(json.dumps(config))
    command = [
        str(envoy_binary()),
        "--mode",
        "validate",
        "-l",
        "warning",
        "--config-path",
        str(tmp_path / "envoy.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert "Deprecated" not in done.stderr


def _bootstrap() -> dict[str, Any]:
    return bootstrap.bootstrap(
        node_id="pod.namespace",
        cluster_domain="cluster.local",
        destination_host="linkerd-dst.linkerd.svc.cluster.local",
        destination_port=names.DESTINATION_PORT,
        destination_spiffe_id="spiffe://west.test/ns/linkerd/sa/linkerd-destination",
        trust_domain="west.test",
        secrets_socket="/nowhere",
        collector=("otel.observability", 4317),
    )


def _trust() -> Trust:
    return Trust(names.TRUST_OUTBOUND_SECRET, (Authority("east.test").bundle, Authority("west.test").bundle))


def _clusters() -> list[Any]:
    """A gateway by address is missing: such a cluster crashes Envoy when it is validated as part of the bootstrap.

    It arrives by ADS in fact, and is proven by the tests of the tunnel.
    """
    someone = Identity("east.test", "ns", "sa")
    pod = Address("10.244.0.7", 80)
    meshed = (Endpoint(pod, someone), Endpoint(pod, someone, gateway="east"))
    mixed = (*meshed, Endpoint(pod, None), Endpoint(pod, None, gateway="east"))
    return [
        outbound.cluster(OutboundCluster(f"outbound/{host}", ServicePort("ns", "web", 80), (group,)))
        for host, group in (("meshed", meshed), ("mixed", mixed), ("empty", ()))
    ] + [
        gateway.cluster(GatewayCluster("gateway/east", (Address("2001:db8::1", 4143),), someone)),
        gateway.export(ExportCluster("export/10.244.0.7:80", pod)),
        absent.cluster("outbound/absent"),
    ]


def _json(message: Any) -> Any:
    return json_format.MessageToDict(message)
