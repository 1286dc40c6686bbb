"""Spans of requests, made by Envoy's OpenTelemetry tracer and sent to a collector, where a pod's proxy knows one.

A proxy makes one span for a request: as a client on the way out, as a server on the way in. What a pod is called is in
its environment (`OTEL_RESOURCE_ATTRIBUTES`) and not here, so that proxies share the bytes of their listeners.
"""

from typing import Any, Final

from envoy.config.core.v3 import extension_pb2
from envoy.config.trace.v3 import http_tracer_pb2, opentelemetry_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.request_id.uuid.v3 import uuid_pb2
from envoy.extensions.tracers.opentelemetry.resource_detectors.v3 import environment_resource_detector_pb2
from envoy.extensions.tracers.opentelemetry.samplers.v3 import (
    parent_based_sampler_pb2,
    trace_id_ratio_based_sampler_pb2,
)
from envoy.type.tracing.v3 import custom_tag_pb2
from envoy.type.v3 import percent_pb2

from isthmus.envoy import wire
from isthmus.envoy.bootstrap import COLLECTOR_CLUSTER
from isthmus.envoy.outbound import TUNNEL_METADATA

_OPENTELEMETRY: Final = "envoy.tracers.opentelemetry"
_TIMEOUT: Final = 5.0
"""Spans that the collector has not taken by then are dropped."""
_METHOD: Final = "%REQ(:METHOD):20%"
_COMMON: Final = {
    "http.method": _METHOD,
    "http.url": "%REQ(:SCHEME):8%://%REQ(:AUTHORITY):255%%PATH(NQ):512%",
    "user_agent": "%REQ(USER-AGENT):200%",
    "downstream_cluster": "%REQ(X-ENVOY-DOWNSTREAM-SERVICE-CLUSTER):100%",
    "guid:x-request-id": "%REQ(X-REQUEST-ID):100%",
    "guid:x-client-trace-id": "%REQ(X-CLIENT-TRACE-ID):100%",
}
"""Envoy's own attributes, without the query, where secrets are, and cut, since clients write them."""
_OUTBOUND: Final = _COMMON | {
    "isthmus.destination": "%UPSTREAM_HOST_NAME%",
    "isthmus.gateway": f"%UPSTREAM_METADATA({TUNNEL_METADATA}:gateway)%",
    "isthmus.server_id": "%UPSTREAM_PEER_URI_SAN%",
    "isthmus.attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
}
_INBOUND: Final = _COMMON | {
    "isthmus.client_id": "%DOWNSTREAM_PEER_URI_SAN%",
    "isthmus.server_name": "%REQUESTED_SERVER_NAME%",
}


def outbound(sampling: int | None) -> Any:
    """Client spans; `sampling` as in ProxyConfig. None for none."""
    return (
        None if sampling is None else _tracing(sampling, operation=f"{_METHOD} %REQ(:AUTHORITY):255%", tags=_OUTBOUND)
    )


def inbound(sampling: int | None) -> Any:
    """Server spans. Their name is the method alone: the rest is what any client writes."""
    return None if sampling is None else _tracing(sampling, operation=_METHOD, tags=_INBOUND)


def request_ids() -> Any:
    """Envoy would trace those requests only that have a request ID, and requests are not given one."""
    config = uuid_pb2.UuidRequestIdConfig(
        pack_trace_reason=wire.boolean(False), use_request_id_for_trace_sampling=wire.boolean(False)
    )
    return http_connection_manager_pb2.RequestIDExtension(typed_config=wire.pack(config))


def _tracing(sampling: int, *, operation: str, tags: dict[str, str]) -> Any:
    return http_connection_manager_pb2.HttpConnectionManager.Tracing(
        max_path_tag_length=wire.uint32(0),
        operation=operation,
        custom_tags=[custom_tag_pb2.CustomTag(tag=name, value=value) for name, value in tags.items()],
        provider=wire.extension(http_tracer_pb2.Tracing.Http, _OPENTELEMETRY, _opentelemetry(sampling)),
    )


def _opentelemetry(sampling: int) -> Any:
    config = opentelemetry_pb2.OpenTelemetryConfig(
        resource_detectors=[
            _extension(
                "resource_detectors.environment", environment_resource_detector_pb2.EnvironmentResourceDetectorConfig()
            )
        ],
        sampler=_as_the_parent_or(sampling),
    )
    config.grpc_service.envoy_grpc.cluster_name = COLLECTOR_CLUSTER
    config.grpc_service.timeout.CopyFrom(wire.seconds(_TIMEOUT))
    return config


def _as_the_parent_or(sampling: int) -> Any:
    """Whoever began a trace has decided for all of it; `sampling` is for those that begin here."""
    share = percent_pb2.FractionalPercent(numerator=sampling, denominator="MILLION")
    ratio = trace_id_ratio_based_sampler_pb2.TraceIdRatioBasedSamplerConfig(sampling_percentage=share)
    return _extension(
        "samplers.parent_based",
        parent_based_sampler_pb2.ParentBasedSamplerConfig(
            wrapped_sampler=_extension("samplers.trace_id_ratio_based", ratio)
        ),
    )


def _extension(name: str, message: Any) -> Any:
    return wire.extension(extension_pb2.TypedExtensionConfig, f"{_OPENTELEMETRY}.{name}", message)
