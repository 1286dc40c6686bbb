"""Single requests as a tap tells them: as lines, as JSON, and added up for `top`. Pure.

What a request says of itself (method, path, authority) is what its client wrote: every text is shown as `tables.plain`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from isthmus.resources.core import Service
from isthmus.viz.tables import DASH, Column, percent, plain, text
from isthmus.viz.workloads import Target

GRPC: Final = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)
MOST_ROWS: Final = 1000
"""Of `top`: whoever asks for a new path each time must not fill the memory of whoever watches."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request that ended, as the proxy of one pod saw it; addresses are `ip:port`, of a tunnel `cluster/ip:port`."""

    direction: str = ""
    src: str = ""
    called: str = ""
    dst: str = ""
    peer: str = ""
    method: str = ""
    scheme: str = ""
    authority: str = ""
    path: str = ""
    status: str = ""
    grpc_status: str = ""
    failed: bool = False
    proxy_error: str = ""
    length: str = ""
    latency_us: int | None = None
    skipping: bool = False
    """There is no request, but there were more than could be told."""
    listening: bool = False
    """There is no request, but from now on they are told."""

    @property
    def inbound(self) -> bool:
        return self.direction == "inbound"

    @property
    def destination(self) -> str:
        """Where it went, as far as it came."""
        return self.called if self.inbound else self.dst or self.called

    @property
    def tls(self) -> str:
        if self.peer:
            return "true"
        if self.inbound:
            return "no_tls_from_remote"
        return "not_provided_by_service_discovery" if self.status and not self.proxy_error else DASH


def host(address: str) -> str:
    """The IP of an address, "" for what is in another cluster."""
    return "" if "/" in address else address.rpartition(":")[0].strip("[]")


@dataclass(frozen=True, slots=True)
class Names:
    """What addresses of this cluster are called."""

    pods: dict[str, Target]
    services: dict[str, Service]

    @classmethod
    def of(cls, pods: Iterable[Target], services: Iterable[Service]) -> "Names":
        return cls(
            {pod.ip: pod for pod in pods if pod.ip and pod.running},
            {ip: service for service in services for ip in service.addresses},
        )

    def workload(self, address: str) -> str:
        """`deployment/web`, "" for whoever is no pod here."""
        pod = self.pods.get(host(address))
        return "/".join(pod.workload) if pod else ""

    def namespace(self, address: str) -> str:
        pod = self.pods.get(host(address))
        return pod.namespace if pod else ""

    def source(self, request: Request) -> str:
        return self.workload(request.src) or request.src.rpartition(":")[0]

    def destination(self, request: Request) -> str:
        """The workload that answered, else the Service that was called, else the address."""
        if found := self.workload(request.destination):
            return found
        service = self.services.get(host(request.called))
        where = request.dst.partition("/")[0] if "/" in request.dst else ""
        if service:
            return f"service/{service.metadata.name}{f' ({where})' if where else ''}"
        return request.destination


# --- lines --------------------------------------------------------------------------------------------------------
def lines(number: str, request: Request, names: Names | None) -> str:
    """The three lines of a request; with `names`, also who has these addresses."""
    ends = f"proxy={'in' if request.inbound else 'out'} src={request.src} dst={request.destination} tls={request.tls}"
    more = _resources(request, names) if names else ""
    asked = f":method={request.method} :authority={request.authority} :path={request.path}"
    told = [f"req id={number} {ends} {asked}{more}"]
    if request.status:
        latency = "" if request.latency_us is None else f" latency={request.latency_us}µs"
        told.append(f"rsp id={number} {ends} :status={request.status}{latency}{more}")
    last = [f"end id={number} {ends}"]
    if request.grpc_status:
        last.append(f"grpc-status={grpc_name(request.grpc_status)}")
    if request.length:
        last.append(f"response-length={request.length}B")
    if request.proxy_error:
        last.append(f"l5d-proxy-error={request.proxy_error!r}")
    return "\n".join(map(plain, [*told, " ".join(last) + more]))


def _resources(request: Request, names: Names) -> str:
    found = {
        "src_res": names.source(request),
        "src_ns": names.namespace(request.src),
        "dst_res": names.destination(request),
        "dst_ns": names.namespace(request.destination),
        "peer": request.peer,
    }
    return "".join(f" {key}={value}" for key, value in found.items() if value)


def grpc_name(status: str) -> str:
    return GRPC[int(status)] if status.isdecimal() and int(status) < len(GRPC) else status


def as_object(number: str, pod: Target, request: Request, names: Names) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(request)
    del found["skipping"], found["listening"]
    ends = {"src_resource": names.source(request), "dst_resource": names.destination(request)}
    return {"id": number, "namespace": pod.namespace, "pod": pod.name, "tls": request.tls} | found | ends


# --- top ----------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Row:
    """Latencies are in microseconds, None while no answer came."""

    count: int = 0
    failed: int = 0
    best: int | None = None
    worst: int | None = None
    last: int | None = None


@dataclass(slots=True)
class Top:
    """Requests between the same two, of the same method and path."""

    names: Names
    by_path: bool = True
    rows: dict[tuple[str, str, str, str], Row] = field(default_factory=dict)
    left_out: int = 0

    def add(self, request: Request) -> None:
        path = request.path.partition("?")[0] if self.by_path else ""
        key = (self.names.source(request), self.names.destination(request), request.method, path)
        if key not in self.rows and len(self.rows) >= MOST_ROWS:
            self.left_out += 1
            return
        row = self.rows.setdefault(key, Row())
        row.count += 1
        row.failed += request.failed or not request.status
        if (latency := request.latency_us) is not None:
            row.best = latency if row.best is None else min(row.best, latency)
            row.worst = latency if row.worst is None else max(row.worst, latency)
            row.last = latency

    def table(self, most: int) -> str:
        """As text."""
        return text(_COLUMNS, self.ranked(most))

    def ranked(self, most: int) -> list[tuple[tuple[str, str, str, str], Row]]:
        """The rows with most requests, each with its source, destination, method and path."""
        return sorted(self.rows.items(), key=lambda item: (-item[1].count, item[0]))[:most]


def duration(microseconds: int | None) -> str:
    if microseconds is None:
        return DASH
    for limit, unit in ((1_000, "µs"), (1_000_000, "ms")):
        if microseconds < limit:
            return f"{microseconds * 1000 // limit if limit > 1000 else microseconds}{unit}"
    return f"{microseconds / 1_000_000:.1f}s"


def _of(name: str, form: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda item: form(getattr(item[1], name))


_COLUMNS: Final[Sequence[Column]] = (
    Column("Source", lambda item: str(item[0][0]), left=True),
    Column("Destination", lambda item: str(item[0][1]), left=True),
    Column("Method", lambda item: str(item[0][2]), left=True),
    Column("Path", lambda item: str(item[0][3]), left=True),
    Column("Count", _of("count", str)),
    Column("Best", _of("best", duration)),
    Column("Worst", _of("worst", duration)),
    Column("Last", _of("last", duration)),
    Column("Success Rate", lambda item: percent(1 - item[1].failed / item[1].count)),
)
