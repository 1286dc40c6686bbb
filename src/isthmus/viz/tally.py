"""Counters added up, and what they say: rates, shares, quantiles. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from isthmus.viz.api import Numbers


@dataclass(slots=True)
class Tally:
    """Increases over a window, and gauges as they are. A field is None until something says it."""

    success: float | None = None
    failure: float | None = None
    buckets: dict[float, float] = field(default_factory=dict)
    connections: float | None = None
    read: float | None = None
    written: float | None = None

    def add(self, labels: Mapping[str, str], counts: Mapping[tuple[str, str], float], *, peer: str) -> None:
        """A group of one pod; of TCP what is towards `peer`, which tells the two sides of a proxy."""
        if "classification" in labels:
            answered = counts.get(("response_total", ""), 0.0)
            if labels["classification"] == "failure":
                self.failure = (self.failure or 0.0) + answered
            else:
                self.success = (self.success or 0.0) + answered
        for (metric, bucket), value in counts.items():
            if metric == "response_latency_ms_bucket":
                self._bucket(bucket, value)
        if labels.get("peer", peer) != peer:
            return
        self.connections = _sum(self.connections, counts.get(("tcp_open_connections", "")))
        self.read = _sum(self.read, counts.get(("tcp_read_bytes_total", "")))
        self.written = _sum(self.written, counts.get(("tcp_write_bytes_total", "")))

    def _bucket(self, bound: str, value: float) -> None:
        try:
            limit = float(bound)
        except ValueError:
            return
        if not math.isnan(limit):
            self.buckets[limit] = self.buckets.get(limit, 0.0) + value

    def numbers(self, window: float) -> Numbers:
        """Per second of a window; a share or a quantile of nothing is None."""
        requests = (self.success or 0.0) + (self.failure or 0.0)
        asked = window > 0 and requests > 0
        p50, p95, p99 = (quantile(share, self.buckets) for share in (0.5, 0.95, 0.99))
        return Numbers(
            success=(self.success or 0.0) / requests if asked else None,
            rps=requests / window if asked else None,
            latency_ms_p50=p50,
            latency_ms_p95=p95,
            latency_ms_p99=p99,
            tcp_open_connections=None if self.connections is None else round(self.connections),
            tcp_read_bytes_rate=None if self.read is None or window <= 0 else self.read / window,
            tcp_write_bytes_rate=None if self.written is None or window <= 0 else self.written / window,
        )


def _sum(known: float | None, more: float | None) -> float | None:
    return known if more is None else (known or 0.0) + more


def quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """Prometheus' `histogram_quantile` of cumulative buckets: linear within a bucket; None of no observation.

    What lies above the last finite bound is told as that bound.
    """
    bounds: Sequence[float] = sorted(buckets)
    if len(bounds) < 2 or not math.isinf(bounds[-1]) or buckets[bounds[-1]] <= 0:
        return None
    wanted = share * buckets[bounds[-1]]
    below = lower = 0.0
    for bound in bounds:
        reached = max(buckets[bound], below)
        if reached >= wanted and reached > below:
            if math.isinf(bound):
                return bounds[-2]
            lower = min(lower, bound)
            return lower + (bound - lower) * (wanted - below) / (reached - below)
        below, lower = reached, bound
    return bounds[-2]
