"""The controller's metrics, called as Linkerd calls them."""

from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

TARGET: Final = "target_cluster_name"
BUCKETS: Final = tuple(digit * 10**power for power in range(5) for digit in range(1, 6))
"""Milliseconds, the same as of the proxies' response_latency_ms."""


class Metrics:
    """One label: the linked cluster."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._enabled = Gauge("gateway_enabled", "Whether the link has a gateway (1)", [TARGET], registry=registry)
        self._alive = Gauge("gateway_alive", "Whether the gateway answers its probes (1)", [TARGET], registry=registry)
        self._latency = Gauge("gateway_latency", "Latency of the last probe, in ms", [TARGET], registry=registry)
        self._latencies = Histogram(
            "gateway_probe_latency_ms",
            "Milliseconds of probes that were answered",
            [TARGET],
            buckets=BUCKETS,
            registry=registry,
        )
        # A counter would be called gateway_probes_total, which nobody's dashboards ask for.
        self._probes = Gauge("gateway_probes", "Probes by result", [TARGET, "probe_successful"], registry=registry)
        self._expiry = Gauge(
            "link_credentials_expiration_timestamp_seconds",
            "When the credentials of the link expire; no series for those that do not",
            [TARGET],
            registry=registry,
        )
        self._renewals = Counter(
            "link_credentials_renewals", "Renewals of credentials by result", [TARGET, "successful"], registry=registry
        )
        self._mirrors = Gauge("mirrored_services", "Services mirrored from the cluster", [TARGET], registry=registry)

    def gateway(self, target: str, *, enabled: bool) -> None:
        self._enabled.labels(target).set(enabled)

    def alive(self, target: str, *, alive: bool, latency_ms: float | None) -> None:
        self._alive.labels(target).set(alive)
        if latency_ms is not None:
            self._latency.labels(target).set(latency_ms)

    def probed(self, target: str, *, successful: bool, latency_ms: float | None = None) -> None:
        self._probes.labels(target, str(successful).lower()).inc()
        if successful and latency_ms is not None:
            self._latencies.labels(target).observe(latency_ms)

    def mirrors(self, target: str, count: int) -> None:
        self._mirrors.labels(target).set(count)

    def credentials(self, target: str, expires: float | None) -> None:
        if expires is None:
            self._expiry.remove_by_labels({TARGET: target})
        else:
            self._expiry.labels(target).set(expires)

    def renewed(self, target: str, *, successful: bool) -> None:
        self._renewals.labels(target, str(successful).lower()).inc()

    def forget(self, target: str) -> None:
        """Series of a cluster that is no longer linked end."""
        for gauge in (self._enabled, self._alive, self._latency, self._mirrors, self._expiry):
            gauge.remove_by_labels({TARGET: target})
        for counted in (self._probes, self._renewals, self._latencies):
            counted.remove_by_labels({TARGET: target})
