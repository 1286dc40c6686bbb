"""The HTTP connection manager: transparent by default, and honest about the replies it makes itself."""

from typing import Any

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, extension_pb2, protocol_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.on_demand.v3 import on_demand_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    header_mutation_pb2 as early_header_mutation_pb2,
)

from isthmus import names
from isthmus.envoy import admission, protocol, tapping, tracing, wire

DISCOVERY_TIMEOUT = 3.0
"""How long a first request waits for the control plane to say what its destination is."""
UNCONNECTED = "cannot connect"
"""First words of the reply when nothing of the request has reached anyone: always safe to send again."""
_REPLIES = (
    ("NC", "the control plane does not say what this destination is"),
    ("UH", f"{UNCONNECTED}: no healthy endpoint at %UPSTREAM_CLUSTER%"),
    ("UF", f"{UNCONNECTED}: the endpoint refused or did not answer"),
    ("UC", "the endpoint closed the connection before it answered"),
    ("UR", "the endpoint reset the request"),
    ("UT", "the endpoint did not answer in time"),
    ("UPE", "the endpoint did not answer in HTTP"),
    ("NR", "no route for this request"),
)
"""Envoy's response flags and what they mean to a person."""


def connection_manager(
    *,
    stat_prefix: str,
    routes: list[Any],
    http2: Any,
    upgrades: tuple[str, ...],
    cluster: str = "",
    on_demand: bool = False,
    admitted: bool = False,
    request_headers: tuple[Any, ...] = (),
    removed_request_headers: tuple[str, ...] = (),
    removed_response_headers: tuple[str, ...] = (),
    access_logs: list[Any] | None = None,
    tunnels: bool = False,
    spans: Any = None,
) -> Any:
    """A network filter that speaks HTTP/1 and HTTP/2 and changes nothing it is not asked to.

    `admitted`: the client has proved who it is, and each of its requests is asked whether that still counts.
    `cluster` is a format for names.DESTINATION_HEADER, written before routing, whatever the client had in it.
    `spans`: which are made, by `tracing`.
    """
    manager = http_connection_manager_pb2.HttpConnectionManager(
        stat_prefix=stat_prefix,
        generate_request_id=wire.boolean(False),
        preserve_external_request_id=True,
        skip_xff_append=True,
        server_header_transformation="PASS_THROUGH",
        proxy_100_continue=True,
        stream_idle_timeout=wire.seconds(0),
        http_protocol_options=protocol_pb2.Http1ProtocolOptions(
            accept_http_10=True, default_host_for_http_10="localhost", enable_trailers=True
        ),
        http2_protocol_options=http2,
        upgrade_configs=[
            http_connection_manager_pb2.HttpConnectionManager.UpgradeConfig(upgrade_type=upgrade)
            for upgrade in upgrades
        ],
        early_header_mutation_extensions=[_destination(cluster)] if cluster else [],
        http_filters=[
            *([admission.http_filter()] if admitted else []),
            *([_on_demand()] if on_demand else []),
            *([] if tunnels else [tapping.http_filter()]),
            _router(),
        ],
        local_reply_config=_local_replies(),
        tracing=spans,
        request_id_extension=tracing.request_ids() if spans else None,
        access_log=access_logs,
        access_log_options=http_connection_manager_pb2.HttpConnectionManager.HcmAccessLogOptions(
            flush_log_on_tunnel_successfully_established=True
        )
        if tunnels
        else None,
        route_config=route_pb2.RouteConfiguration(
            name=stat_prefix,
            virtual_hosts=[route_components_pb2.VirtualHost(name="all", domains=["*"], routes=routes)],
            request_headers_to_add=request_headers,
            request_headers_to_remove=removed_request_headers,
            response_headers_to_remove=removed_response_headers,
        ),
    )
    return wire.extension(listener_components_pb2.Filter, "envoy.filters.network.http_connection_manager", manager)


def _destination(cluster: str) -> Any:
    mutation = early_header_mutation_pb2.HeaderMutation(
        mutations=[protocol.write_header(names.DESTINATION_HEADER, cluster)]
    )
    return wire.extension(
        extension_pb2.TypedExtensionConfig, "envoy.http.early_header_mutation.header_mutation", mutation
    )


def _on_demand() -> Any:
    return wire.extension(
        http_connection_manager_pb2.HttpFilter,
        "envoy.filters.http.on_demand",
        on_demand_pb2.OnDemand(
            odcds=on_demand_pb2.OnDemandCds(source=wire.ads(), timeout=wire.seconds(DISCOVERY_TIMEOUT))
        ),
    )


def _router() -> Any:
    return wire.extension(
        http_connection_manager_pb2.HttpFilter,
        "envoy.filters.http.router",
        router_pb2.Router(suppress_envoy_headers=True),
    )


def _local_replies() -> Any:
    """Every reply made here says so and says why; `l5d-proxy-error` is what the client's proxy retries on."""
    by_flag = [_reply(_flag(flag), words) for flag, words in _REPLIES]
    return http_connection_manager_pb2.LocalReplyConfig(
        mappers=[
            *by_flag,
            _reply(_status("EQ", 403), admission.REFUSED),
            _reply(_status("GE", 500), "%RESPONSE_CODE_DETAILS%"),
        ]
    )


def _reply(when: Any, words: str) -> Any:
    header = base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key=names.PROXY_ERROR_HEADER, value=words),
        append_action="OVERWRITE_IF_EXISTS_OR_ADD",
    )
    return http_connection_manager_pb2.ResponseMapper(filter=when, headers_to_add=[header])


def _flag(flag: str) -> Any:
    return accesslog_pb2.AccessLogFilter(response_flag_filter=accesslog_pb2.ResponseFlagFilter(flags=[flag]))


def _status(operator: str, code: int) -> Any:
    comparison = accesslog_pb2.ComparisonFilter(
        op=operator, value=base_pb2.RuntimeUInt32(default_value=code, runtime_key="isthmus.local_reply")
    )
    return accesslog_pb2.AccessLogFilter(status_code_filter=accesslog_pb2.StatusCodeFilter(comparison=comparison))
