"""The inbound listener: from other proxies, and from everyone else, to the pod's own application.

Mesh TLS is told from the application's own by its SNI. Inside it, ALPN tells requests from bytes. Whatever is not
ours passes through untouched.
"""

from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2

from isthmus import names
from isthmus.envoy import accesslog, chains, metrics, protocol, requests, tls, tracing, wire
from isthmus.envoy.bootstrap import APPLICATION_CLUSTER, APPLICATION_HTTP1_CLUSTER
from isthmus.mesh.model import ProxyConfig

_REQUEST_PROTOCOLS = ("h2", "http/1.1")
_EXPORT = rf"{names.EXPORT_CLUSTER_PREFIX}(\d{{1,3}}(\.\d{{1,3}}){{3}}|\[[0-9a-f:]+\]):\d{{1,5}}"
"""An authority that can be an endpoint at all; anything else is refused without asking the control plane."""


def listener(config: ProxyConfig) -> Any:
    gateway = [_gateway()] if config.role == "gateway" else []
    return chains.listener(
        name="inbound",
        port=names.INBOUND_PORT,
        direction="INBOUND",
        filters=[
            chains.original_destination(),
            chains.tls_inspector(),
            chains.http_inspector(opaque=config.inbound_opaque_ports),
        ],
        chains=[
            *gateway,
            chains.refused(names.INBOUND_PORT),
            chains.refused(names.OUTBOUND_PORT),
            *(each for port in config.inbound_request_ports for each in _requests_only(port, config)),
            _mesh("mesh-requests", _requests(_prove_client(), config), application_protocols=_REQUEST_PROTOCOLS),
            _mesh("mesh-bytes", _bytes("inbound-mesh-bytes")),
            chains.chain(
                "plain-requests",
                _requests((), config),
                transport_protocol="raw_buffer",
                application_protocols=chains.HTTP,
            ),
        ],
        default=chains.chain("plain-bytes", _bytes("inbound-bytes")),
    )


def _requests_only(port: int, config: ProxyConfig) -> tuple[Any, Any]:
    """A port declared to be HTTP. What no parser takes for HTTP would arrive as bytes, with headers nobody checked."""
    destination = wire.uint32(port)
    return (
        _mesh(f"mesh-requests-{port}", _requests(_prove_client(), config), destination_port=destination),
        chains.chain(
            f"plain-requests-{port}",
            _requests((), config),
            transport_protocol="raw_buffer",
            destination_port=destination,
        ),
    )


def _mesh(name: str, network_filter: Any, **match: Any) -> Any:
    return chains.chain(
        name,
        network_filter,
        transport=tls.server_context(alpn=_REQUEST_PROTOCOLS),
        server_names=[f"*.{names.MESH_SNI_SUFFIX}"],
        transport_protocol="tls",
        **match,
    )


def _bytes(stat_prefix: str) -> Any:
    return chains.tcp_proxy(stat_prefix=stat_prefix, cluster=APPLICATION_CLUSTER)


def _requests(client: tuple[Any, ...], config: ProxyConfig) -> Any:
    """The application hears who the client is from us or not at all."""
    counted = metrics.inbound() if client else metrics.plain(config.probe_paths)
    removed = (names.ORIGINAL_PROTOCOL_HEADER, *(() if client else (names.CLIENT_ID_HEADER,)))
    return requests.connection_manager(
        stat_prefix="inbound-mesh" if client else "inbound",
        http2=protocol.requests_http2(pings=None),
        upgrades=("websocket",),
        request_headers=client,
        admitted=bool(client),
        removed_request_headers=removed,
        removed_response_headers=(names.PROXY_ERROR_HEADER,),
        routes=[_route(APPLICATION_HTTP1_CLUSTER, _was_http1()), _route(APPLICATION_CLUSTER)],
        access_logs=[*counted, *accesslog.loggers(config.access_log)],
        spans=tracing.inbound(config.sampling),
    )


def _prove_client() -> tuple[Any, ...]:
    return (
        base_pb2.HeaderValueOption(
            header=base_pb2.HeaderValue(key=names.CLIENT_ID_HEADER, value="%DOWNSTREAM_PEER_URI_SAN%"),
            append_action="OVERWRITE_IF_EXISTS_OR_ADD",
        ),
    )


def _was_http1() -> Any:
    return route_components_pb2.HeaderMatcher(
        name=names.ORIGINAL_PROTOCOL_HEADER, string_match=string_pb2.StringMatcher(prefix="HTTP/1.")
    )


def _route(cluster: str, *headers: Any) -> Any:
    return route_components_pb2.Route(
        match=route_components_pb2.RouteMatch(prefix="/", headers=headers),
        route=route_components_pb2.RouteAction(cluster=cluster, timeout=wire.seconds(0)),
    )


def _gateway() -> Any:
    """Tunnels for authenticated clients, to endpoints of exported services only. It never sees what is inside."""
    return chains.chain(
        "gateway",
        requests.connection_manager(
            stat_prefix="gateway",
            cluster=f"{names.EXPORT_CLUSTER_PREFIX}%REQ(:AUTHORITY)%",
            on_demand=True,
            admitted=True,
            http2=protocol.tunnel_http2(pings=None),
            upgrades=("CONNECT",),
            routes=[_tunnel(), _ready(), _nothing_else()],
            access_logs=metrics.tunnels(),
            tunnels=True,
        ),
        transport=tls.server_context(alpn=("h2",)),
        destination_port=wire.uint32(names.GATEWAY_PORT),
        server_names=[names.GATEWAY_SNI],
        transport_protocol="tls",
    )


def _tunnel() -> Any:
    exported = route_components_pb2.HeaderMatcher(
        name=names.DESTINATION_HEADER,
        string_match=string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=_EXPORT)),
    )
    upgrade = route_components_pb2.RouteAction.UpgradeConfig(
        upgrade_type="CONNECT", connect_config=route_components_pb2.RouteAction.UpgradeConfig.ConnectConfig()
    )
    return route_components_pb2.Route(
        match=route_components_pb2.RouteMatch(
            connect_matcher=route_components_pb2.RouteMatch.ConnectMatcher(), headers=[exported]
        ),
        route=route_components_pb2.RouteAction(
            cluster_header=names.DESTINATION_HEADER,
            cluster_not_found_response_code="NOT_FOUND",
            timeout=wire.seconds(0),
            upgrade_configs=[upgrade],
        ),
    )


def _ready() -> Any:
    get = route_components_pb2.HeaderMatcher(name=":method", string_match=string_pb2.StringMatcher(exact="GET"))
    return route_components_pb2.Route(
        match=route_components_pb2.RouteMatch(path="/ready", headers=[get]),
        direct_response=route_components_pb2.DirectResponseAction(
            status=200, body=base_pb2.DataSource(inline_string="ready\n")
        ),
    )


def _nothing_else() -> Any:
    return route_components_pb2.Route(
        match=route_components_pb2.RouteMatch(prefix="/"),
        direct_response=route_components_pb2.DirectResponseAction(
            status=404, body=base_pb2.DataSource(inline_string="a gateway only carries tunnels to exported services\n")
        ),
    )
