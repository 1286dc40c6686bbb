"""Both ends of a gateway: the cluster a client's tunnel dials, and the pods a gateway may connect it to."""

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any, Final

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from isthmus import names
from isthmus.envoy import balancing, outbound, protocol, tls, wire
from isthmus.mesh.model import Address, ExportCluster, GatewayCluster

_CONNECT_TIMEOUT: Final = 1.4
_EXPORT_CONNECT_TIMEOUT: Final = 0.5
_NEVER_OVERFLOW: Final = 100_000
"""Silent addresses get tunnels only when all others are set aside."""
_NEXT_AFTER: Final = 4
"""So many more attempts are made while a connection is made: one every 0.3 s, or as soon as one is refused."""


def cluster(gateway: GatewayCluster) -> Any:
    """The gateway of a linked cluster: HTTP/2 over mutual TLS, every tunnel a stream of a shared connection.

    Its addresses come by EDS, so that those which stay keep their connections when another one comes or goes.
    """
    message = _cluster(gateway.name, connect_timeout=_CONNECT_TIMEOUT)
    message.type = cluster_pb2.Cluster.EDS
    message.eds_cluster_config.eds_config.CopyFrom(wire.ads())
    message.outlier_detection.CopyFrom(balancing.outlier_detection())
    message.transport_socket.CopyFrom(
        tls.client_context(sni=names.GATEWAY_SNI, expected=gateway.identity.spiffe_id, alpn=("h2",))
    )
    for name, options in protocol.tunnelling().items():
        message.typed_extension_protocol_options[name].CopyFrom(options)
    return message


def load_assignment(gateway: GatewayCluster) -> Any:
    """The gateway's addresses; those that are silent come after all others."""
    answering = [address for address in gateway.addresses if address not in gateway.silent]
    silent = [address for address in gateway.addresses if address in gateway.silent]
    groups = [group for group in (answering, silent) if group]
    return endpoint_pb2.ClusterLoadAssignment(
        cluster_name=gateway.name,
        endpoints=[
            _locality(priority, address, _others(address, gateway.addresses))
            for priority, group in enumerate(groups)
            for address in group
        ],
        policy=endpoint_pb2.ClusterLoadAssignment.Policy(overprovisioning_factor=wire.uint32(_NEVER_OVERFLOW)),
    )


def export(exported: ExportCluster) -> Any:
    """One endpoint of an exported service, as bytes: what the client sends in is for the pod alone."""
    message = _cluster(exported.name, connect_timeout=_EXPORT_CONNECT_TIMEOUT)
    message.type = cluster_pb2.Cluster.STATIC
    message.load_assignment.CopyFrom(
        endpoint_pb2.ClusterLoadAssignment(
            cluster_name=exported.name,
            endpoints=[endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[_endpoint(exported.address, ())])],
        )
    )
    return message


def _cluster(name: str, *, connect_timeout: float) -> Any:
    return cluster_pb2.Cluster(
        name=name,
        connect_timeout=wire.seconds(connect_timeout),
        load_balancing_policy=balancing.policy(),
        common_lb_config=balancing.common(),
        circuit_breakers=balancing.circuit_breakers(),
        upstream_connection_options=cluster_pb2.UpstreamConnectionOptions(tcp_keepalive=outbound.tcp_keepalive()),
    )


def _locality(priority: int, address: Address, others: Sequence[Address]) -> Any:
    """An address in a locality named after the others.

    Envoy updates an endpoint that it knows in place, but for its other addresses: only one in another locality is new.
    """
    message = endpoint_components_pb2.LocalityLbEndpoints(priority=priority, lb_endpoints=[_endpoint(address, others)])
    message.locality.sub_zone = " ".join(map(str, others))
    return message


def _others(address: Address, addresses: Sequence[Address]) -> tuple[Address, ...]:
    """The next ones in a circle, so that the connections of one that is dead spread over all others.

    It comes round to the address itself. A load balancer gives each attempt to one of its gateways, and goes on to give
    some to one that is dead until that is known: 40 s after its node's death in Kubernetes.

    Silent ones too: what is told of an address must not change, and its tunnels move, because another one falls silent.
    """
    position = addresses.index(address)
    circle = (*addresses[position + 1 :], *addresses[: position + 1])
    return tuple(islice(cycle(circle), _NEXT_AFTER))


def _endpoint(address: Address, others: Sequence[Address]) -> Any:
    """An address, and others of the same gateway that a connection is made to if this one is not there."""
    additional = endpoint_components_pb2.Endpoint.AdditionalAddress
    return endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(
            address=wire.socket_address(address),
            additional_addresses=[additional(address=wire.socket_address(each)) for each in others],
        )
    )
