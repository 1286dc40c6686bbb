"""What a pod reaches at an original destination: one cluster, its endpoints in failover order."""

from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.extensions.transport_sockets.internal_upstream.v3 import internal_upstream_pb2
from envoy.type.metadata.v3 import metadata_pb2
from google.protobuf.struct_pb2 import Struct

from isthmus import names
from isthmus.envoy import balancing, metrics, protocol, returning, tls, wire
from isthmus.envoy.bootstrap import TUNNEL_LISTENER
from isthmus.mesh import failback
from isthmus.mesh.model import PLAIN, Endpoint, OutboundCluster, Peer

TUNNEL_METADATA = "tunnel"
"""Endpoint metadata that the tunnel listener reads: `authority` and `gateway`."""
_NOBODY = "spiffe://nobody"
_DIRECT_CONNECT_TIMEOUT = 0.5
_TUNNEL_CONNECT_TIMEOUT = 1.0
"""A first connection through a gateway takes four round trips: TCP, TLS, CONNECT, and the inner TLS."""
_PATIENT_CONNECT_TIMEOUT = 1.4
"""Where nobody else can answer there is time for several attempts to meet a gateway that lives."""


def cluster(outbound: OutboundCluster) -> Any:
    """The cluster named by the destination; its endpoints come by EDS under the same name."""
    tunnelled = any(through_gateway for _, through_gateway in outbound.peers)
    together = tunnelled and len(outbound.priorities) == 1
    options = protocol.multiplexed if outbound.meshed else protocol.as_downstream
    message = cluster_pb2.Cluster(
        name=outbound.name,
        type="EDS",
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=wire.ads()),
        connect_timeout=wire.seconds(_connect_timeout(tunnelled=tunnelled, together=together)),
        load_balancing_policy=balancing.policy(shared=outbound.shared),
        common_lb_config=balancing.common(),
        circuit_breakers=balancing.circuit_breakers(),
        outlier_detection=balancing.patient_outlier_detection() if together else balancing.outlier_detection(),
        transport_socket_matches=_transports(outbound),
        transport_socket=tls.client_context(sni=sni(outbound), expected=_NOBODY),
        typed_extension_protocol_options=options(tunnelled=tunnelled),
        upstream_connection_options=cluster_pb2.UpstreamConnectionOptions(tcp_keepalive=tcp_keepalive()),
    )
    message.track_cluster_stats.per_endpoint_stats = True
    message.metadata.filter_metadata[metrics.METADATA].update({"labels": metrics.of_cluster(outbound)})
    return message


def _connect_timeout(*, tunnelled: bool, together: bool) -> float:
    if together:
        return _PATIENT_CONNECT_TIMEOUT
    return _TUNNEL_CONNECT_TIMEOUT if tunnelled else _DIRECT_CONNECT_TIMEOUT


def load_assignment(outbound: OutboundCluster) -> Any:
    """The endpoints. An empty group keeps its priority, so that the others do not move when it fills.

    The part of a group that is healthy, times the factor, is the part of the traffic that it gets; the next group gets
    the rest. What a proxy has set aside by itself is not healthy either.
    """
    return endpoint_pb2.ClusterLoadAssignment(
        cluster_name=outbound.name,
        endpoints=[
            _locality(outbound, priority, backend, endpoints)
            for priority, group in enumerate(outbound.priorities)
            for backend, endpoints in _by_backend(group).items()
        ]
        + returning.placeholders(outbound),
        policy=endpoint_pb2.ClusterLoadAssignment.Policy(
            overprovisioning_factor=wire.uint32(failback.factor(outbound.spill_below)),
            weighted_priority_health=bool(outbound.returning),
        ),
    )


def _by_backend(group: tuple[Endpoint, ...]) -> dict[str, list[Endpoint]]:
    found: dict[str, list[Endpoint]] = {}
    for endpoint in group:
        found.setdefault(endpoint.backend, []).append(endpoint)
    return found or {"": []}


def _locality(outbound: OutboundCluster, priority: int, backend: str, endpoints: list[Endpoint]) -> Any:
    """One backend of a group. What Envoy takes for a place on the map stands for the service that answers."""
    message = endpoint_components_pb2.LocalityLbEndpoints(
        priority=priority,
        load_balancing_weight=wire.uint32(max(1, sum(endpoint.weight for endpoint in endpoints))),
        lb_endpoints=[_lb_endpoint(outbound, endpoint) for endpoint in endpoints],
    )
    if backend:
        message.locality.sub_zone = backend
    return message


def sni(outbound: OutboundCluster) -> str:
    """Tells the far proxy that this is mesh TLS, and people with a packet dump what it is for."""
    service = outbound.service
    return outbound.server_name or f"{service.port}.{service.name}.{service.namespace}.{names.MESH_SNI_SUFFIX}"


def tcp_keepalive() -> Any:
    return address_pb2.TcpKeepalive(
        keepalive_time=wire.uint32(10), keepalive_interval=wire.uint32(5), keepalive_probes=wire.uint32(3)
    )


def _lb_endpoint(outbound: OutboundCluster, endpoint: Endpoint) -> Any:
    message = endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(
            address=_address(endpoint), hostname=metrics.of_endpoint(outbound, endpoint, single=True)
        ),
        load_balancing_weight=wire.uint32(max(1, endpoint.weight) * returning.scale(outbound)),
        health_status="UNKNOWN" if endpoint.ready else "UNHEALTHY",
    )
    message.metadata.filter_metadata["envoy.transport_socket_match"].update(
        _match((endpoint.identity, endpoint.gateway is not None))
    )
    message.metadata.filter_metadata[metrics.METADATA].update(
        {"labels": metrics.of_endpoint(outbound, endpoint, single=False)}
    )
    if endpoint.gateway is not None:
        message.metadata.filter_metadata[TUNNEL_METADATA].update(
            {
                "authority": str(endpoint.address),
                "gateway": f"{names.GATEWAY_CLUSTER_PREFIX}{endpoint.gateway}",
            }
        )
    return message


def _address(endpoint: Endpoint) -> Any:
    """A pod behind a gateway is an address inside this proxy; pods of two clusters may share an IP, so name both."""
    if endpoint.gateway is None:
        return wire.socket_address(endpoint.address)
    internal = address_pb2.EnvoyInternalAddress(
        server_listener_name=TUNNEL_LISTENER, endpoint_id=f"{endpoint.gateway}/{endpoint.address}"
    )
    return address_pb2.Address(envoy_internal_address=internal)


def _match(peer: Peer) -> dict[str, str]:
    identity, through_gateway = peer
    return {
        "identity": identity.spiffe_id if identity else PLAIN,
        "route": "tunnel" if through_gateway else "direct",
    }


def _transports(outbound: OutboundCluster) -> list[Any]:
    """One transport per identity and route. An endpoint that matches none meets a TLS nobody can answer."""
    wanted = {(match["identity"], match["route"]) for match in map(_match, outbound.peers)}
    return [_transport(identity=identity, route=route, server_name=sni(outbound)) for identity, route in sorted(wanted)]


def _transport(*, identity: str, route: str, server_name: str) -> Any:
    inner = tls.plain() if identity == PLAIN else tls.client_context(sni=server_name, expected=identity)
    match = Struct()
    match.update({"identity": identity, "route": route})
    return cluster_pb2.Cluster.TransportSocketMatch(
        name=f"{route} {identity}", match=match, transport_socket=_inside_tunnel(inner) if route == "tunnel" else inner
    )


def _inside_tunnel(inner: Any) -> Any:
    """Hand the endpoint's metadata to the tunnel listener together with the connection."""
    carry = internal_upstream_pb2.InternalUpstreamTransport.MetadataValueSource(
        kind=metadata_pb2.MetadataKind(host=metadata_pb2.MetadataKind.Host()), name=TUNNEL_METADATA
    )
    transport = internal_upstream_pb2.InternalUpstreamTransport(passthrough_metadata=[carry], transport_socket=inner)
    return wire.extension(base_pb2.TransportSocket, "envoy.transport_sockets.internal_upstream", transport)
