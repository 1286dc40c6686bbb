"""What Envoy counts for people: requests and their latency, with labels that say between whom.

Two numbers are kept for a request, each under one label: a counter by answer, from which requests are summed when
somebody scrapes, and a histogram that leaves out the pod. `proxy.metrics` gives them their names.
"""

from typing import Any, Final

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf.struct_pb2 import Struct
from xds.type.v3 import typed_struct_pb2

from isthmus.envoy import labels, wire
from isthmus.mesh.model import Endpoint, OutboundCluster

METADATA: Final = "isthmus"
"""Metadata of clusters and endpoints that is meant for metrics."""
_OWNERS: Final = frozenset(
    ("cronjob", "daemonset", "deployment", "job", "replicaset", "replicationcontroller", "statefulset")
)
_STATS: Final = "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config"
_LASTING: Final = {"prefix": labels.PREFIX, "max_counters": 4096, "max_histograms": 512}
"""Of one listener's chain. What comes when it is full is not counted.

A `sharing_name` would make it one for the whole proxy, but with it Envoy 1.40 crashes in `--mode validate`.
"""
_EXPIRING: Final = {**_LASTING, "enable_eviction": True}
"""What is idle leaves it."""
_LATENCY: Final = "%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:ms)%"
_PORT: Final = "target_port=%DOWNSTREAM_LOCAL_PORT%"
_KUBELET: Final = "kube-probe/"
_ANSWER: Final = f"{labels.STATUS}=%RESPONSE_CODE%,{labels.GRPC_STATUS}=%GRPC_STATUS_NUMBER%"


def outbound() -> list[Any]:
    """Access loggers of requests that leave the pod. Where no endpoint was chosen the cluster's labels remain."""
    cluster = f"%CLUSTER_METADATA({METADATA}:labels)%"
    return _requests(
        "outbound",
        counted=f"{cluster},%UPSTREAM_HOST_NAME%,{_ANSWER}",
        timed=f"{cluster},%UPSTREAM_METADATA({METADATA}:labels)%",
    )


def inbound() -> list[Any]:
    """Access loggers of requests from other proxies to the pod's application."""
    common, client = f"tls=true,{_PORT}", f",{labels.CLIENT}=%DOWNSTREAM_PEER_URI_SAN%"
    return _requests("inbound", counted=f"{common},{_ANSWER}{client}", timed=f"{common}{client}")


def plain(probe_paths: tuple[str, ...]) -> list[Any]:
    """Access loggers of requests from whoever has no proxy. What kubelet asks is counted for itself.

    A request is kubelet's if it says so and asks for what the pod's probes ask for, so no other can hide as one.
    """
    common = f"tls=no_identity,no_tls_reason=no_tls_from_remote,{_PORT}"
    requests = {"counted": f"{common},{_ANSWER}", "timed": common}
    if not probe_paths:
        return _requests("inbound", **requests)
    paths = [string_pb2.StringMatcher(exact=path) for path in probe_paths]
    kubelet = string_pb2.StringMatcher(prefix=_KUBELET)
    probe = _all(_header("user-agent", kubelet), _any(*(_header(":path", path) for path in paths)))
    other = _any(
        _header("user-agent", kubelet, not_=True), _all(*(_header(":path", each, not_=True) for each in paths))
    )
    probes = [{"stat": _stat("probe", f"{_PORT},{labels.STATUS}=%RESPONSE_CODE%"), "value_fixed": 1}]
    return [*_requests("inbound", when=other, **requests), _logger(_EXPIRING, when=probe, counters=probes)]


def tunnels() -> list[Any]:
    """Access loggers of a gateway: tunnels that were opened, that ended, and that were refused. All of them count."""
    client = f",{labels.CLIENT}=%DOWNSTREAM_PEER_URI_SAN%"
    answer = f"{labels.STATUS}=%RESPONSE_CODE%{client}"
    opened, ended = (_type(kind) for kind in ("DownstreamTunnelSuccessfullyEstablished", "DownstreamEnd"))
    accepted, refused = _status("EQ", 200), _status("GE", 300)
    return [
        _logger(_LASTING, when=_all(_connect(), when), counters=[{"stat": _stat(name, label), "value_fixed": 1}])
        for name, label, when in (
            ("tunnel_open", client, opened),
            ("tunnel_close", client, _all(ended, accepted)),
            ("tunnel_refused", answer, _all(ended, refused)),
        )
    ]


def of_cluster(outbound: OutboundCluster) -> str:
    """The labels that hold whichever endpoint answers, or none does."""
    service = outbound.service
    return labels.pack(
        {
            "authority": f"{service.name}.{service.namespace}:{service.port}" if service.namespace else "",
            "dst_namespace": service.namespace,
            "dst_service": service.name if service.namespace else "",
            **_elsewhere(outbound.target_cluster),
        }
    )


def of_endpoint(outbound: OutboundCluster, endpoint: Endpoint, *, single: bool) -> str:
    """The labels of an endpoint; those of latencies, each of which is 28 lines, leave out what the others say."""
    identity = endpoint.identity
    secured = (
        {"tls": "true"} if identity else {"tls": "no_identity", "no_tls_reason": "not_provided_by_service_discovery"}
    )
    details = {
        "server_id": identity.dns_name if identity else "",
        "dst_target_service_namespace": endpoint.namespace,
        "dst_pod": endpoint.pod,
        "dst_serviceaccount": identity.service_account if identity else "",
    }
    return labels.pack(
        {
            "dst_namespace": outbound.service.namespace,
            "dst_service": (endpoint.backend or outbound.service.name) if outbound.service.namespace else "",
            **secured,
            **_elsewhere(endpoint.cluster),
            "dst_target_service": endpoint.service,
            **_owner(endpoint.owner),
            **(details if single else {}),
        }
    )


def _owner(owner: str) -> dict[str, str]:
    """Names that Linkerd's dashboards know, and no others: the kind comes from a label that anyone may write."""
    kind, _, name = owner.partition("/")
    return {f"dst_{kind}": name} if kind in _OWNERS else {}


def _elsewhere(cluster: str) -> dict[str, str]:
    return {"dst_cluster": cluster, "dst_target_cluster": cluster}


def _requests(direction: str, *, counted: str, timed: str, when: Any = None) -> list[Any]:
    answered = _status("GE", 100)  # a client that left before the answer has no latency
    return [
        _logger(_EXPIRING, when=when, counters=[{"stat": _stat(direction, counted), "value_fixed": 1}]),
        _logger(
            _EXPIRING,
            when=_all(answered, *([when] if when is not None else [])),
            histograms=[{"stat": _stat(f"{direction}_ms", timed), "unit": "Milliseconds", "value_format": _LATENCY}],
        ),
    ]


def _stat(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "tags": [{"name": labels.LABEL, "value_format": value}]}


def _logger(scope: dict[str, Any], *, when: Any = None, **config: Any) -> Any:
    """As a struct, since the generated classes are older than `stats_scope`."""
    value = Struct()
    value.update({"stats_scope": scope, **config})
    logger = wire.extension(
        accesslog_pb2.AccessLog,
        "envoy.access_loggers.stats",
        typed_struct_pb2.TypedStruct(type_url=_STATS, value=value),
    )
    if when is not None:
        logger.filter.CopyFrom(when)
    return logger


def _status(operator: str, code: int) -> Any:
    some = accesslog_pb2.ComparisonFilter(
        op=operator, value=base_pb2.RuntimeUInt32(default_value=code, runtime_key="isthmus.status")
    )
    return accesslog_pb2.AccessLogFilter(status_code_filter=accesslog_pb2.StatusCodeFilter(comparison=some))


def _type(kind: str) -> Any:
    return accesslog_pb2.AccessLogFilter(log_type_filter=accesslog_pb2.LogTypeFilter(types=[kind]))


def _connect() -> Any:
    return _header(":method", string_pb2.StringMatcher(exact="CONNECT"))


def _header(name: str, value: Any, *, not_: bool = False) -> Any:
    """What is not there is as if it were empty."""
    header = route_components_pb2.HeaderMatcher(
        name=name, string_match=value, invert_match=not_, treat_missing_header_as_empty=True
    )
    return accesslog_pb2.AccessLogFilter(header_filter=accesslog_pb2.HeaderFilter(header=header))


def _all(*filters: Any) -> Any:
    """Envoy takes two or more."""
    return filters[0] if not filters[1:] else accesslog_pb2.AccessLogFilter(and_filter={"filters": filters})


def _any(*filters: Any) -> Any:
    return filters[0] if not filters[1:] else accesslog_pb2.AccessLogFilter(or_filter={"filters": filters})
