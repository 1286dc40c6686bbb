"""HTTP between proxies: windows, keepalive, and how an upstream connection's protocol is chosen."""

from typing import Any

from envoy.config.common.matcher.v3 import matcher_pb2
from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import base_pb2, protocol_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.http.upstream_codec.v3 import upstream_codec_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from isthmus import names
from isthmus.envoy import wire

MEBIBYTE = 1 << 20
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
PING_INTERVAL = 0.4
PING_TIMEOUT = 0.5
"""A peer that vanished without a word is noticed within interval + timeout."""
TUNNELLED_PING_TIMEOUT = 1.0
"""More than interval + timeout of the connection that carries the tunnels. When that is dead, all connections in it end
at once; were they noticed one by one, each repetition of a request would meet another dead one."""
IDLE = 90.0
"""An unused connection is closed after this long, and its pings end with it."""


def requests_http2(*, pings: float | None) -> Any:
    """HTTP/2 that carries requests. WebSockets travel in it as extended CONNECT. The client's side pings."""
    return _http2(stream=4 * MEBIBYTE, connection=32 * MEBIBYTE, pings=pings)


def tunnel_http2(*, pings: float | None) -> Any:
    """HTTP/2 that carries whole connections: a stream is a connection with its own windows inside, so be generous."""
    return _http2(stream=16 * MEBIBYTE, connection=128 * MEBIBYTE, pings=pings)


def multiplexed(*, tunnelled: bool) -> dict[str, Any]:
    """Options of a cluster whose endpoints all have a proxy: HTTP/2, with the client's protocol in a header."""
    remember = header_mutation_pb2.HeaderMutation(
        mutations=header_mutation_pb2.Mutations(
            request_mutations=[write_header(names.ORIGINAL_PROTOCOL_HEADER, "%PROTOCOL%")],
            response_mutations=[write_header(names.SERVER_ID_HEADER, "%UPSTREAM_PEER_URI_SAN%")],
        )
    )
    return _options(
        explicit_http_config=http_protocol_options_pb2.HttpProtocolOptions.ExplicitHttpConfig(
            http2_protocol_options=requests_http2(pings=_patience(tunnelled))
        ),
        http_filters=[
            _filter("envoy.filters.http.header_mutation", remember),
            _filter("envoy.filters.http.upstream_codec", upstream_codec_pb2.UpstreamCodec()),
        ],
        outlier_detection=_errors_of_proxies(),
    )


def as_downstream(*, tunnelled: bool) -> dict[str, Any]:
    """Options of a cluster some of whose endpoints have no proxy: speak what the client speaks."""
    unproven = header_mutation_pb2.HeaderMutation(
        mutations=header_mutation_pb2.Mutations(
            response_mutations=[mutation_rules_pb2.HeaderMutation(remove=names.SERVER_ID_HEADER)]
        )
    )
    return _options(
        use_downstream_protocol_config=http_protocol_options_pb2.HttpProtocolOptions.UseDownstreamHttpConfig(
            http_protocol_options=protocol_pb2.Http1ProtocolOptions(),
            http2_protocol_options=requests_http2(pings=_patience(tunnelled)),
        ),
        http_filters=[
            _filter("envoy.filters.http.header_mutation", unproven),
            _filter("envoy.filters.http.upstream_codec", upstream_codec_pb2.UpstreamCodec()),
        ],
        outlier_detection=_errors_of_proxies(),
    )


def tunnelling() -> dict[str, Any]:
    """Options of a gateway cluster."""
    return _options(
        explicit_http_config=http_protocol_options_pb2.HttpProtocolOptions.ExplicitHttpConfig(
            http2_protocol_options=tunnel_http2(pings=PING_TIMEOUT)
        )
    )


def write_header(name: str, value: str) -> Any:
    """A mutation that replaces whatever was in a header."""
    return mutation_rules_pb2.HeaderMutation(
        append=base_pb2.HeaderValueOption(
            header=base_pb2.HeaderValue(key=name, value=value), append_action="OVERWRITE_IF_EXISTS_OR_ADD"
        )
    )


def _http2(*, stream: int, connection: int, pings: float | None) -> Any:
    """Of these windows in bytes. `pings` is how long an answer to one may take, in seconds."""
    options = protocol_pb2.Http2ProtocolOptions(
        allow_connect=True,
        initial_stream_window_size=wire.uint32(stream),
        initial_connection_window_size=wire.uint32(connection),
    )
    if pings is not None:
        options.connection_keepalive.CopyFrom(
            protocol_pb2.KeepaliveSettings(interval=wire.seconds(PING_INTERVAL), timeout=wire.seconds(pings))
        )
    return options


def _patience(tunnelled: bool) -> float:
    return TUNNELLED_PING_TIMEOUT if tunnelled else PING_TIMEOUT


def _options(**options: Any) -> dict[str, Any]:
    common = protocol_pb2.HttpProtocolOptions(idle_timeout=wire.seconds(IDLE))
    message = http_protocol_options_pb2.HttpProtocolOptions(common_http_protocol_options=common, **options)
    return {OPTIONS: wire.pack(message)}


def _errors_of_proxies() -> Any:
    """Only what the far proxy says in the application's stead counts against an endpoint.

    An application that answers 503 is alive; ejecting it for that would turn its answers into ours.
    """
    by_proxy = route_components_pb2.HeaderMatcher(name=names.PROXY_ERROR_HEADER, present_match=True)
    return http_protocol_options_pb2.HttpProtocolOptions.OutlierDetection(
        error_matcher=matcher_pb2.MatchPredicate(
            http_response_headers_match=matcher_pb2.HttpHeadersMatch(headers=[by_proxy])
        )
    )


def _filter(name: str, message: Any) -> Any:
    return wire.extension(http_connection_manager_pb2.HttpFilter, name, message)
