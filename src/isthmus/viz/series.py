"""What proxies counted, for the last minutes, in little memory. The clock is an argument. Pure.

Counters that begin anew (a proxy restarted, an idle series was dropped) go on from where they were. A counter that
appears in a pod that was read before began at zero: the first request of a new kind counts.
"""

import bisect
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from isthmus.envoy.labels import entire
from isthmus.viz import exposition

HISTORY_SECONDS: Final = 660.0
"""Ten minutes and the last look before them."""
MOST_SERIES_OF_A_POD: Final = 20_000
MOST_SERIES: Final = 150_000
"""Of all pods together; about 1 KB each, and 12 bytes more for each look at which it had changed."""

COUNTERS: Final = frozenset(
    {
        "request_total",
        "response_total",
        "response_latency_ms_bucket",
        "tcp_open_total",
        "tcp_read_bytes_total",
        "tcp_write_bytes_total",
        "gateway_tunnel_open_total",
        "gateway_tunnel_refused_total",
    }
)
CERTIFICATE_EXPIRY: Final = "identity_cert_expiration_timestamp_seconds"
CERTIFICATES: Final = "identity_cert_refresh_count"
GAUGES: Final = frozenset({"tcp_open_connections", "gateway_tunnels", CERTIFICATE_EXPIRY, CERTIFICATES})
BUCKET_LABEL: Final = "le"
KEPT_LABELS: Final = frozenset(
    {
        "authority",
        "classification",
        "client_id",
        "direction",
        "dst_cluster",
        "dst_cronjob",
        "dst_daemonset",
        "dst_deployment",
        "dst_job",
        "dst_namespace",
        "dst_pod",
        "dst_replicaset",
        "dst_replicationcontroller",
        "dst_service",
        "dst_statefulset",
        "dst_target_cluster",
        "dst_target_service",
        "dst_target_service_namespace",
        "no_tls_reason",
        "peer",
        "server_id",
        "src_cluster",
        "target_port",
        "tls",
    }
)
"""Series that differ in other labels only are added up."""

Labels = tuple[tuple[str, str], ...]


class Series:
    """One number over time: its value after each look at which it had changed, the latest last."""

    __slots__ = ("looks", "total", "values")

    def __init__(self) -> None:
        self.total = 0.0
        self.looks: array[int] = array("I")
        self.values: array[float] = array("d")

    def record(self, look: int) -> None:
        """Keep the present total as that of a look."""
        if self.looks and self.looks[-1] == look:
            self.values[-1] = self.total
        elif not self.values or self.values[-1] != self.total:
            self.looks.append(look)
            self.values.append(self.total)

    def at(self, look: int) -> float:
        """The total after a look; nothing was counted before the first."""
        index = bisect.bisect_right(self.looks, look)
        return self.values[index - 1] if index else 0.0

    def forget_before(self, look: int) -> None:
        """Changes before a look become its beginning."""
        index = bisect.bisect_right(self.looks, look) - 1
        if index > 0:
            del self.looks[:index]
            del self.values[:index]


@dataclass(slots=True)
class Group:
    """The series of one pod that share their labels (but the bucket)."""

    labels: dict[str, str]
    series: dict[tuple[str, str], Series] = field(default_factory=dict)
    """Metric and bucket -> series; the bucket is "" where there is none."""


@dataclass(slots=True)
class _Line:
    """A series as the proxy writes it, `into` None for one that nobody asks for."""

    into: Series | None
    counts: bool
    last: float
    look: int


class History:
    """One pod's numbers."""

    def __init__(self, *, began: float | None = None) -> None:
        """`began`: when the pod did, for one that is known from its beginning, so that all it counted is seen."""
        self.times: list[float] = [] if began is None else [began]
        self.first = 0
        """The number of the look at `times[0]`."""
        self.groups: dict[Labels, Group] = {}
        self.refused = 0
        """Series that were not kept at the last look, because there are too many."""
        self._lines: dict[int, _Line] = {}

    @property
    def look(self) -> int:
        """The number of the last look, or of the one before the first."""
        return self.first + len(self.times) - 1

    @property
    def size(self) -> int:
        """What is kept in memory."""
        return len(self._lines)

    def observe(self, at: float, body: bytes, *, room: int = MOST_SERIES_OF_A_POD) -> None:
        """Take a look: the text that the proxy shows at this time. Keeps at most `room` series."""
        if self.times and at <= self.times[-1]:
            return
        opening = not self.times
        before = self.look
        self.times.append(at)
        look = self.look
        self.refused = 0
        room = min(room, MOST_SERIES_OF_A_POD)
        for written, value in exposition.lines(body):
            key = hash(written)
            line = self._lines.get(key)
            if line is None:
                if len(self._lines) >= room:
                    self.refused += 1
                    continue
                line = self._lines[key] = self._line(written, before)
                if opening and line.counts:
                    line.last = value
            if line.into is None:
                line.look = look
                continue
            self._count(line, value, look)
        self._end_gauges(look)

    def _line(self, written: bytes, before: int) -> _Line:
        read = exposition.series(written)
        if read is None or read[0] not in COUNTERS | GAUGES:
            return _Line(None, False, 0.0, before)
        name, labels = read
        bucket = labels.pop(BUCKET_LABEL, "")
        labels = entire(labels) if bucket else labels
        kept: Labels = tuple(
            sorted((sys.intern(label), sys.intern(text)) for label, text in labels.items() if label in KEPT_LABELS)
        )
        group = self.groups.get(kept)
        if group is None:
            group = self.groups[kept] = Group(dict(kept))
        series = group.series.setdefault((sys.intern(name), sys.intern(bucket)), Series())
        return _Line(series, name in COUNTERS, 0.0, before)

    def _count(self, line: _Line, value: float, look: int) -> None:
        assert line.into is not None
        if line.look == look:
            return
        fresh = line.counts and (value < line.last or line.look < look - 1)
        if fresh:
            line.last = 0.0
        if value != line.last:
            line.into.total += value - line.last
            line.into.record(look)
            line.last = value
        line.look = look

    def _end_gauges(self, look: int) -> None:
        for line in self._lines.values():
            if line.into is not None and not line.counts and line.look < look and line.last:
                line.into.total -= line.last
                line.last = 0.0
                line.into.record(look)

    def forget_before(self, at: float) -> None:
        """Keep the last look before that time and all after it, and what was written since."""
        gone = bisect.bisect_right(self.times, at) - 1
        if gone <= 0:
            return
        del self.times[:gone]
        self.first += gone
        self._lines = {key: line for key, line in self._lines.items() if line.look >= self.first}
        kept = {id(line.into) for line in self._lines.values()}
        for labels, group in list(self.groups.items()):
            for key, series in list(group.series.items()):
                series.forget_before(self.first)
                idle = not series.looks or series.looks[-1] <= self.first
                if idle and id(series) not in kept:
                    del group.series[key]
            if not group.series:
                del self.groups[labels]

    def since(self, at: float) -> "Since":
        """How much was counted since a time."""
        return Since(self, at)


class Since:
    """Increases since a time; between two looks, in proportion."""

    __slots__ = ("_look", "_share")

    def __init__(self, history: History, at: float) -> None:
        index = bisect.bisect_right(history.times, at) - 1
        self._look = history.first + max(index, 0)
        self._share = 0.0
        if 0 <= index < len(history.times) - 1:
            start, end = history.times[index], history.times[index + 1]
            self._share = (at - start) / (end - start)

    def __call__(self, series: Series) -> float:
        before = series.at(self._look)
        if self._share:
            before += (series.at(self._look + 1) - before) * self._share
        return max(series.total - before, 0.0)


def counted(history: History, at: float) -> Iterator[tuple[Group, dict[tuple[str, str], float]]]:
    """Every group with the increases of its counters since a time, and its gauges as they are."""
    since = history.since(at)
    for group in history.groups.values():
        yield group, {key: s.total if key[0] in GAUGES else since(s) for key, s in group.series.items()}
