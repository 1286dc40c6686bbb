"""How a listener tells connections apart: listener filters, and the filter chains they lead to."""

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

from envoy.config.core.v3 import address_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.type.v3 import range_pb2

from isthmus.envoy import wire
from isthmus.resources.ports import ranges

HTTP = ("http/1.0", "http/1.1", "h2c")
"""What the HTTP inspector calls the protocols it recognizes in plain text."""
DETECTION_TIMEOUT = 3.0
"""A client that says nothing for so long waits for the server to speak first: pass the bytes on."""


def listener(*, name: str, port: int, filters: list[Any], chains: list[Any], default: Any, direction: str) -> Any:
    return listener_pb2.Listener(
        name=name,
        address=address_pb2.Address(
            socket_address=address_pb2.SocketAddress(address="0.0.0.0", port_value=port)  # noqa: S104
        ),
        traffic_direction=direction,
        listener_filters=filters,
        listener_filters_timeout=wire.seconds(DETECTION_TIMEOUT),
        continue_on_listener_filters_timeout=True,
        filter_chains=chains,
        default_filter_chain=default,
    )


def chain(name: str, *filters: Any, transport: Any = None, **match: Any) -> Any:
    """A filter chain; one without filters closes the connection."""
    return listener_components_pb2.FilterChain(
        name=name,
        filters=filters,
        transport_socket=transport,
        filter_chain_match=listener_components_pb2.FilterChainMatch(**match) if match else None,
    )


def refused(port: int) -> Any:
    """The proxy's own port is not a destination: going on to it would go round in circles."""
    return chain(f"refuse-{port}", destination_port=wire.uint32(port))


def prefixes(networks: Iterable[str]) -> list[Any]:
    parsed = [ip_network(network, strict=False) for network in networks]
    return [
        address_pb2.CidrRange(address_prefix=str(network.network_address), prefix_len=wire.uint32(network.prefixlen))
        for network in parsed
    ]


def original_destination() -> Any:
    return _listener_filter("envoy.filters.listener.original_dst", original_dst_pb2.OriginalDst())


def tls_inspector(*, opaque: tuple[int, ...] = ()) -> Any:
    return _listener_filter("envoy.filters.listener.tls_inspector", tls_inspector_pb2.TlsInspector(), opaque)


def http_inspector(*, opaque: tuple[int, ...]) -> Any:
    return _listener_filter("envoy.filters.listener.http_inspector", http_inspector_pb2.HttpInspector(), opaque)


def tcp_proxy(*, stat_prefix: str, cluster: str, **options: Any) -> Any:
    """Bytes to a cluster; a refused endpoint is followed by another one. Silence never ends a connection."""
    proxy = tcp_proxy_pb2.TcpProxy(stat_prefix=stat_prefix, cluster=cluster, idle_timeout=wire.seconds(0), **options)
    return wire.extension(listener_components_pb2.Filter, "envoy.filters.network.tcp_proxy", proxy)


def _listener_filter(name: str, message: Any, skipped_ports: tuple[int, ...] = ()) -> Any:
    listener_filter = wire.extension(listener_components_pb2.ListenerFilter, name, message)
    if skipped_ports:
        listener_filter.filter_disabled.CopyFrom(_any_port(skipped_ports))
    return listener_filter


def _any_port(ports: tuple[int, ...]) -> Any:
    predicate = listener_components_pb2.ListenerFilterChainMatchPredicate
    rules = [
        predicate(destination_port_range=range_pb2.Int32Range(start=first, end=last + 1))
        for first, last in ranges(ports)
    ]
    return rules[0] if len(rules) == 1 else predicate(or_match=predicate.MatchSet(rules=rules))
