"""The outbound listener: from the application to wherever it wanted to go.

The original destination is the name of the cluster; a cluster that is not there yet is asked for while the first
request waits. Nothing about a destination is known before someone goes there.
"""

from typing import Any

from envoy.config.core.v3 import base_pb2, substitution_format_string_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.common.set_filter_state.v3 import value_pb2
from envoy.extensions.filters.network.set_filter_state.v3 import set_filter_state_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2

from isthmus import names
from isthmus.envoy import chains, metrics, protocol, requests, tracing, wire
from isthmus.envoy.bootstrap import PASSTHROUGH_CLUSTER
from isthmus.mesh.model import ProxyConfig

DESTINATION = f"{names.OUTBOUND_CLUSTER_PREFIX}%DOWNSTREAM_LOCAL_ADDRESS%"
_IDEMPOTENT = "GET|HEAD|OPTIONS"
_ALWAYS_SAFE = "connect-failure,refused-stream,retriable-headers"
_RETRIES = 8
"""A node that dies with a gateway, a pod and the destination service of the next gateway: a tunnel that ends, two in
which nothing comes, and half a second for each time that the pod is drawn. What is refused takes a moment each time."""
_PAUSE = 0.025
"""At most, before the first repetition: time to set aside what fell silent with all requests in it."""
_DRAWS = 50
"""How often a repeated request draws an endpoint until it is one that it was not at. An endpoint that refuses is never
busy, so the less busy of two is nearly always that one: with half of them dead, five draws end at a dead one again."""


def listener(config: ProxyConfig) -> Any:
    mesh: dict[str, Any] = (
        {"prefix_ranges": chains.prefixes(config.cluster_networks)} if config.cluster_networks else {}
    )
    bytes_chain = chains.chain("bytes", _to_destination(), _bytes(), **mesh)
    passthrough = chains.chain("passthrough", chains.tcp_proxy(stat_prefix="passthrough", cluster=PASSTHROUGH_CLUSTER))
    return chains.listener(
        name="outbound",
        port=names.OUTBOUND_PORT,
        direction="OUTBOUND",
        filters=[
            chains.original_destination(),
            chains.http_inspector(opaque=config.outbound_opaque_ports),
        ],
        chains=[
            chains.refused(names.OUTBOUND_PORT),
            chains.chain("requests", _requests(config), application_protocols=chains.HTTP, **mesh),
            *([bytes_chain] if mesh else []),
        ],
        default=passthrough if mesh else bytes_chain,
    )


def _requests(config: ProxyConfig) -> Any:
    return requests.connection_manager(
        stat_prefix="outbound",
        cluster=DESTINATION,
        on_demand=True,
        http2=protocol.requests_http2(pings=None),
        upgrades=("websocket",),
        removed_request_headers=(names.DESTINATION_HEADER, names.ORIGINAL_PROTOCOL_HEADER),
        routes=[
            _route(_repeatable(), retry_on=f"{_ALWAYS_SAFE},reset", retriable=_any_proxy_error()),
            _route(_any_request(), retry_on=_ALWAYS_SAFE, retriable=_unconnected()),
        ],
        access_logs=metrics.outbound(),
        spans=tracing.outbound(config.sampling),
    )


def _route(match: Any, *, retry_on: str, retriable: Any) -> Any:
    return route_components_pb2.Route(
        match=match,
        route=route_components_pb2.RouteAction(
            cluster_header=names.DESTINATION_HEADER,
            cluster_not_found_response_code="SERVICE_UNAVAILABLE",
            timeout=wire.seconds(0),
            retry_policy=_retry(retry_on, retriable),
        ),
    )


def _retry(retry_on: str, retriable: Any) -> Any:
    """At once and elsewhere: not the endpoint that failed, and after a failed priority the next one.

    Twice in each: pods that end while they are replaced must send nothing to a standby in another cluster.
    """
    return route_components_pb2.RetryPolicy(
        retry_on=retry_on,
        retriable_headers=[retriable],
        num_retries=wire.uint32(_RETRIES),
        retry_back_off=route_components_pb2.RetryPolicy.RetryBackOff(
            base_interval=wire.seconds(_PAUSE), max_interval=wire.seconds(0.1)
        ),
        retry_host_predicate=[
            wire.extension(
                route_components_pb2.RetryPolicy.RetryHostPredicate,
                "envoy.retry_host_predicates.previous_hosts",
                previous_hosts_pb2.PreviousHostsPredicate(),
            )
        ],
        host_selection_retry_max_attempts=_DRAWS,
        retry_priority=wire.extension(
            route_components_pb2.RetryPolicy.RetryPriority,
            "envoy.retry_priorities.previous_priorities",
            previous_priorities_config_pb2.PreviousPrioritiesConfig(update_frequency=2),
        ),
    )


def _any_request() -> Any:
    return route_components_pb2.RouteMatch(prefix="/")


def _repeatable() -> Any:
    method = route_components_pb2.HeaderMatcher(
        name=":method",
        string_match=string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=_IDEMPOTENT)),
    )
    return route_components_pb2.RouteMatch(prefix="/", headers=[method])


def _any_proxy_error() -> Any:
    return route_components_pb2.HeaderMatcher(name=names.PROXY_ERROR_HEADER, present_match=True)


def _unconnected() -> Any:
    return route_components_pb2.HeaderMatcher(
        name=names.PROXY_ERROR_HEADER, string_match=string_pb2.StringMatcher(prefix=requests.UNCONNECTED)
    )


def _to_destination() -> Any:
    return cluster_from(DESTINATION)


def cluster_from(text: str) -> Any:
    """A network filter that decides the cluster of the TCP proxy after it, by a format string."""
    value = value_pb2.FilterStateValue(
        object_key="envoy.tcp_proxy.cluster",
        format_string=substitution_format_string_pb2.SubstitutionFormatString(
            text_format_source=base_pb2.DataSource(inline_string=text)
        ),
    )
    return wire.extension(
        listener_components_pb2.Filter,
        "envoy.filters.network.set_filter_state",
        set_filter_state_pb2.Config(on_new_connection=[value]),
    )


def on_demand() -> Any:
    return tcp_proxy_pb2.TcpProxy.OnDemand(odcds_config=wire.ads(), timeout=wire.seconds(requests.DISCOVERY_TIMEOUT))


def _bytes() -> Any:
    return chains.tcp_proxy(
        stat_prefix="outbound-bytes",
        cluster=PASSTHROUGH_CLUSTER,
        on_demand=on_demand(),
        max_connect_attempts=wire.uint32(1 + _RETRIES),
    )
