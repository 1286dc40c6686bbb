"""Both ends of a gateway: the cluster a client's tunnel dials, and the pods a gateway may connect it to."""

from ipaddress import ip_address
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from isthmus import names
from isthmus.envoy import balancing, outbound, protocol, tls, wire
from isthmus.mesh.model import Address, ExportCluster, GatewayCluster

_CONNECT_TIMEOUT = 0.8
_EXPORT_CONNECT_TIMEOUT = 0.5


def cluster(gateway: GatewayCluster) -> Any:
    """The gateway of a linked cluster: HTTP/2 over mutual TLS, every tunnel a stream of a shared connection."""
    message = _cluster(gateway.name, gateway.addresses, connect_timeout=_CONNECT_TIMEOUT)
    message.outlier_detection.CopyFrom(balancing.outlier_detection())
    message.transport_socket.CopyFrom(
        tls.client_context(sni=names.GATEWAY_SNI, expected=gateway.identity.spiffe_id, alpn=("h2",))
    )
    for name, options in protocol.tunnelling().items():
        message.typed_extension_protocol_options[name].CopyFrom(options)
    return message


def export(exported: ExportCluster) -> Any:
    """One endpoint of an exported service, as bytes: what the client sends in is for the pod alone."""
    return _cluster(exported.name, (exported.address,), connect_timeout=_EXPORT_CONNECT_TIMEOUT)


def _cluster(name: str, addresses: tuple[Address, ...], *, connect_timeout: float) -> Any:
    return cluster_pb2.Cluster(
        name=name,
        type="STATIC" if all(_is_ip(address.host) for address in addresses) else "STRICT_DNS",
        dns_lookup_family="V4_PREFERRED",
        connect_timeout=wire.seconds(connect_timeout),
        load_balancing_policy=balancing.policy(),
        common_lb_config=balancing.common(),
        circuit_breakers=balancing.circuit_breakers(),
        upstream_connection_options=cluster_pb2.UpstreamConnectionOptions(tcp_keepalive=outbound.tcp_keepalive()),
        load_assignment=endpoint_pb2.ClusterLoadAssignment(
            cluster_name=name,
            endpoints=[
                endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[_endpoint(address) for address in addresses])
            ],
        ),
    )


def _endpoint(address: Address) -> Any:
    return endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=wire.socket_address(address))
    )


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
