"""What Envoy is started with, as plain JSON. Imported by the proxy agent: the standard library only.

Everything else a proxy knows arrives over ADS from the destination service. The clusters here are the ones that do
not depend on anything outside the pod: the way to the destination service, the way to the pod's own application, and
the way out for destinations the mesh does not know.
"""

from typing import Any, Final

from isthmus import names

XDS_CLUSTER: Final = "xds"
PASSTHROUGH_CLUSTER: Final = "passthrough"
"""The original destination, untouched."""
APPLICATION_CLUSTER: Final = "application"
"""The pod's application, spoken to in the protocol of the request."""
APPLICATION_HTTP1_CLUSTER: Final = "application-http1"
"""The pod's application, for requests that left the client as HTTP/1 and were carried between proxies as HTTP/2."""
AGENT_CLUSTER: Final = "agent"
"""The proxy agent of the pod, which holds the secrets (`proxy/sds.py`)."""
COLLECTOR_CLUSTER: Final = "collector"
"""Where spans go, in pods that are told of a collector."""
TUNNEL_LISTENER: Final = "tunnel"
TAP: Final = "requests"
"""By this name Envoy's admin interface is asked for single requests."""
SECRETS_SOCKET: Final = "secrets.sock"
"""In the certificate directory; whoever can open it gets the key."""
WORKLOAD_FILE: Final = "workload.json"
"""File in the certificate directory that holds the workload's secret, `workload_secret`."""
ROOTS_SECRET: Final = "roots"  # noqa: S105 - a name
ROOTS_FILE: Final = "roots.json"
"""The same for the roots that vouch for the destination service, `roots_secret`."""
_PATIENCE: Final = f"{30 * 24 * 3600}s"
"""The agent answers when it has something new to say."""
_RECONNECT: Final = {"base_interval": "0.2s", "max_interval": "2s"}
"""The bounds of the random pause before a lost stream is opened again: Envoy's own grow to half a minute."""

_UNANSWERED: Final = {
    "description": "TCP_USER_TIMEOUT",
    "level": 6,
    "name": 18,
    "int_value": 1000,
    "state": "STATE_PREBIND",
}
"""Milliseconds until a connection ends whose bytes nobody acknowledges: a question to a destination service whose node
died is soon asked of another one. Kernels acknowledge, however busy the programs are, and nothing is sent to find out.
"""

_TYPE: Final = "type.googleapis.com/envoy."
_UNLIMITED: Final = 1 << 30
_WATCHDOG: Final = {"miss_timeout": "5s", "megamiss_timeout": "10s"}
"""Threads report several times per timeout; with Envoy's 0.2 s that is most of an idle proxy's wake-ups."""
_APPLICATION_IDLE: Final = "1.5s"
"""Applications close idle connections, some after 2 s; a request must not meet one that is just being closed."""
_TRACING: Final = {
    "name": "tracing",
    "static_layer": {
        "tracing.opentelemetry.min_flush_spans": 50,
        "tracing.opentelemetry.flush_interval_ms": 1000,
    },
}
"""Spans are sent by fifties, or after a second; Envoy's own is by fives, or after five."""
_UNSENT: Final = {"max_connections": 1, "max_pending_requests": 2, "max_requests": 8, "max_retries": 0}
"""So many batches of spans wait for a slow collector, and no more: the next ones are dropped."""
_STAT_PREFIXES: Final = ("cluster_manager.", "listener_manager.", "control_plane.", "server.", "sds.", "l5d")
LATENCY_BUCKETS: Final = tuple(digit * 10**power for power in range(5) for digit in range(1, 6))
"""Milliseconds, as Linkerd has them."""
_STAT_SUFFIXES: Final = (
    "cx_rx_bytes_total",
    "cx_tx_bytes_total",
    "membership_healthy",
    "membership_total",
    "outlier_detection.ejections_active",
    "upstream_cx_active",
    "upstream_cx_connect_fail",
    "upstream_cx_total",
    "upstream_rq_retry",
    "upstream_rq_total",
    "downstream_cx_active",
    "downstream_cx_total",
    "downstream_rq_total",
    "ssl_context_update_by_sds",
    "ssl.connection_error",
    "ssl.fail_verify_error",
    "ssl.fail_verify_no_cert",
    "ssl.fail_verify_san",
    "ssl.handshake",
)


def bootstrap(
    *,
    node_id: str,
    cluster_domain: str,
    destination_host: str,
    destination_port: int,
    destination_spiffe_id: str,
    trust_domain: str,
    secrets_socket: str,
    admin_port: int = names.ENVOY_ADMIN_PORT,
    collector: tuple[str, int] | None = None,
) -> dict[str, Any]:
    """Envoy's bootstrap configuration.

    `node_id` is `<pod>.<namespace>`. `secrets_socket` is where the agent listens, `collector` the host and port that
    spans are sent to.
    """
    return {
        "node": {
            "id": node_id,
            "cluster": cluster_domain,
            "metadata": {"trust_domain": trust_domain},
        },
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [
                    {"envoy_grpc": {"cluster_name": XDS_CLUSTER, "retry_policy": {"retry_back_off": _RECONNECT}}}
                ],
            },
            # Without listeners a proxy must not call itself ready, however long the destination service is away.
            "lds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
        },
        "static_resources": {
            "clusters": [
                _xds(
                    host=destination_host,
                    port=destination_port,
                    spiffe_id=destination_spiffe_id,
                ),
                _agent(secrets_socket),
                _original_destination(PASSTHROUGH_CLUSTER),
                _original_destination(APPLICATION_CLUSTER, use_downstream_protocol_config=_both_protocols()),
                _original_destination(APPLICATION_HTTP1_CLUSTER, explicit_http_config={"http_protocol_options": {}}),
                *([_collector(*collector)] if collector else []),
            ]
        },
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {"@type": _TYPE + "extensions.bootstrap.internal_listener.v3.InternalListener"},
            }
        ],
        "watchdogs": {"main_thread_watchdog": _WATCHDOG, "worker_watchdog": _WATCHDOG},
        "deferred_stat_options": {"enable_deferred_creation_stats": True},
        "stats_flush_interval": "2s",
        "stats_eviction_interval": "600s",
        "stats_config": {
            "stats_matcher": {"inclusion_list": {"patterns": _stat_patterns()}},
            "histogram_bucket_settings": [{"match": {"prefix": "l5d."}, "buckets": LATENCY_BUCKETS}],
        },
        **({"layered_runtime": {"layers": [_TRACING]}} if collector else {}),
    }


def secret_source() -> dict[str, Any]:
    """Where a secret that is made in the pod comes from: polls that the agent answers when there is another one."""
    return {
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": [AGENT_CLUSTER],
            "refresh_delay": "1s",
            "request_timeout": _PATIENCE,
        },
        "resource_api_version": "V3",
    }


def workload_secret(certificate: str, private_key: str) -> dict[str, Any]:
    """The workload's certificate chain and key (PEM) in one secret: both change at once."""
    pair = {"certificate_chain": {"inline_string": certificate}, "private_key": {"inline_string": private_key}}
    return _secret(names.WORKLOAD_CERTIFICATE_SECRET, tls_certificate=pair)


def roots_secret(roots: str) -> dict[str, Any]:
    """By it a rotation of the roots reaches the connection to the destination service, too."""
    return _secret(ROOTS_SECRET, validation_context={"trusted_ca": {"inline_string": roots}})


def _secret(name: str, **content: Any) -> dict[str, Any]:
    return {"@type": _TYPE + "extensions.transport_sockets.tls.v3.Secret", "name": name, **content}


def _xds(*, host: str, port: int, spiffe_id: str) -> dict[str, Any]:
    return {
        "name": XDS_CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "dns_lookup_family": "V4_PREFERRED",
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 30, "keepalive_interval": 10}},
        "upstream_bind_config": {"socket_options": [_UNANSWERED]},
        "load_assignment": _single_endpoint(XDS_CLUSTER, _address(host, port)),
        "typed_extension_protocol_options": _http_options(
            explicit_http_config={
                "http2_protocol_options": {"connection_keepalive": {"interval": "10s", "timeout": "5s"}}
            }
        ),
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": _TYPE + "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": host,
                "common_tls_context": {
                    "tls_params": {
                        "tls_minimum_protocol_version": "TLSv1_3",
                        "tls_maximum_protocol_version": "TLSv1_3",  # as a client, Envoy stops at 1.2 unless told
                    },
                    "alpn_protocols": ["h2"],
                    "tls_certificate_sds_secret_configs": [
                        {"name": names.WORKLOAD_CERTIFICATE_SECRET, "sds_config": secret_source()}
                    ],
                    "combined_validation_context": {
                        "default_validation_context": {
                            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": spiffe_id}}]
                        },
                        "validation_context_sds_secret_config": {"name": ROOTS_SECRET, "sds_config": secret_source()},
                    },
                },
            },
        },
    }


def _agent(socket: str) -> dict[str, Any]:
    return {
        "name": AGENT_CLUSTER,
        "type": "STATIC",
        "load_assignment": _single_endpoint(AGENT_CLUSTER, {"pipe": {"path": socket}}),
    }


def _collector(host: str, port: int) -> dict[str, Any]:
    """In plain text: a collector has no identity in the mesh that could be asked for."""
    return {
        "name": COLLECTOR_CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "dns_lookup_family": "V4_PREFERRED",
        "circuit_breakers": {"thresholds": [_UNSENT]},
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 30, "keepalive_interval": 10}},
        "load_assignment": _single_endpoint(COLLECTOR_CLUSTER, _address(host, port)),
        "typed_extension_protocol_options": _http_options(explicit_http_config={"http2_protocol_options": {}}),
    }


def _original_destination(name: str, **protocol: Any) -> dict[str, Any]:
    cluster = {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": _UNLIMITED,
                    "max_pending_requests": _UNLIMITED,
                    "max_requests": _UNLIMITED,
                    "max_retries": _UNLIMITED,
                }
            ]
        },
    }
    if protocol:
        idle = {"idle_timeout": _APPLICATION_IDLE}
        cluster["typed_extension_protocol_options"] = _http_options(common_http_protocol_options=idle, **protocol)
    return cluster


def _both_protocols() -> dict[str, Any]:
    return {"http_protocol_options": {}, "http2_protocol_options": {"allow_connect": True}}


def _http_options(**protocol: Any) -> dict[str, Any]:
    kind = "extensions.upstreams.http.v3.HttpProtocolOptions"
    return {f"envoy.{kind}": {"@type": _TYPE + kind, **protocol}}


def _single_endpoint(cluster: str, address: dict[str, Any]) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": address}}
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [endpoint]}]}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _stat_patterns() -> list[dict[str, str]]:
    return [{"prefix": prefix} for prefix in _STAT_PREFIXES] + [{"suffix": suffix} for suffix in _STAT_SUFFIXES]
