"""What the metrics API is asked and answers, as JSON. The command line and the process share these types. Pure."""

from typing import Final

import msgspec

from isthmus.viz.kinds import Resource

PORT: Final = 8085
STAT_PATH: Final = "/api/v1/stat"
ROUTES_PATH: Final = "/api/v1/routes"
EDGES_PATH: Final = "/api/v1/edges"
STATUS_PATH: Final = "/api/v1/status"
TARGETS_PATH: Final = "/api/v1/targets/"
"""And the name of a job: what Prometheus' HTTP service discovery asks."""
QUERY: Final = "query"
"""The parameter that carries a question as JSON."""
SHORTEST_WINDOW: Final = 15.0
LONGEST_WINDOW: Final = 600.0


def require_window(seconds: float) -> None:
    """Raises ValueError, in words, for a window that has no answer."""
    if not SHORTEST_WINDOW <= seconds <= LONGEST_WINDOW:
        raise ValueError(
            f"a window of {seconds:.0f} s cannot be told: numbers are kept for {LONGEST_WINDOW / 60:.0f} minutes, and "
            f"fewer than {SHORTEST_WINDOW:.0f} s say nothing; ask Prometheus for more"
        )


class Refusal(msgspec.Struct, frozen=True):
    """In place of an answer: why there is none, "" in what is one."""

    refused: str = ""


class StatQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`to` and `from_` narrow to traffic towards or from a resource, as the client's proxy saw it.

    `window` is in seconds.
    """

    resources: tuple[Resource, ...]
    namespace: str = "default"
    all_namespaces: bool = False
    to: Resource | None = None
    to_namespace: str = ""
    from_: Resource | None = None
    from_namespace: str = ""
    window: float = 60.0
    unmeshed: bool = False


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """None where there is nothing to tell, which is not zero."""

    success: float | None = None
    rps: float | None = None
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    latency_ms_p99: float | None = None
    tcp_open_connections: int | None = None
    tcp_read_bytes_rate: float | None = None
    tcp_write_bytes_rate: float | None = None

    @property
    def empty(self) -> bool:
        return self == Numbers()


class StatRow(msgspec.Struct, frozen=True, kw_only=True):
    """`meshed` of `running` pods have a proxy; None for what is no workload. A split has a row for each leaf."""

    namespace: str
    kind: str
    name: str
    numbers: Numbers
    status: str = ""
    meshed: int | None = None
    running: int | None = None
    apex: str = ""
    leaf: str = ""
    weight: str = ""


class StatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`window`: the seconds that the rates are over, fewer than asked where less is known. `problems`: sentences."""

    rows: tuple[StatRow, ...]
    window: float
    problems: tuple[str, ...] = ()


class RoutesQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What workloads are asked (`inbound`), or what they ask."""

    resources: tuple[Resource, ...]
    inbound: bool
    namespace: str = "default"
    all_namespaces: bool = False
    window: float = 60.0


class RouteRow(msgspec.Struct, frozen=True, kw_only=True):
    """`server` says the port that was asked; `service` and `backend` what was asked and what answered.

    `service` is `<name>:<port>`, of the namespace `service_namespace`.
    """

    namespace: str
    kind: str
    name: str
    route: str
    numbers: Numbers
    server: str = ""
    service: str = ""
    service_namespace: str = ""
    backend: str = ""
    type: str = ""
    """The kind of the route; "" of the default."""


class RoutesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    rows: tuple[RouteRow, ...]
    window: float
    problems: tuple[str, ...] = ()


class EdgesQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    kind: str
    namespace: str = "default"
    all_namespaces: bool = False
    window: float = 60.0


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """One end of an edge. `cluster` is "" for this one; the kind of what is in another may be `serviceaccount`."""

    kind: str
    name: str
    namespace: str
    cluster: str = ""


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """Who talks to whom. `no_tls_reason` is "" where it is secured."""

    source: Party
    target: Party
    numbers: Numbers
    client_id: str = ""
    server_id: str = ""
    no_tls_reason: str = ""


class EdgesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    edges: tuple[Edge, ...]
    window: float
    problems: tuple[str, ...] = ()


class PrometheusState(msgspec.Struct, frozen=True, kw_only=True):
    """`url` is "" where there is none. `proxies`: how many it reads in a namespace. `problem`: why it is of no use."""

    url: str = ""
    problem: str = ""
    proxies: dict[str, int] = {}


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How the metrics API is: `pods` it reads, `series` it keeps, `covered` seconds, `problems` as sentences."""

    pods: int
    series: int
    covered: float
    problems: tuple[str, ...] = ()
    prometheus: PrometheusState = PrometheusState()
