"""Rows to text, in Linkerd's columns and number formats; what is not known is a dash. Pure."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from isthmus.viz.api import Edge, Numbers, Party, RouteRow, StatRow
from isthmus.viz.kinds import WORKLOADS, known

DASH: Final = "-"
SECURED: Final = "√"
GAP: Final = "   "


@dataclass(frozen=True, slots=True)
class Column:
    """Names are aligned left, numbers right, as Linkerd does."""

    header: str
    cell: Callable[[Any], str]
    left: bool = False


def text(columns: Sequence[Column], rows: Sequence[Any]) -> str:
    """A table; nothing in a cell can move the cursor or break the line."""
    cells = [[column.header for column in columns], *([plain(c.cell(row)) for c in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return "\n".join(
        GAP.join(
            cell.ljust(width) if column.left else cell.rjust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in cells
    )


def plain(cell: str) -> str:
    """Without control characters: names of another cluster's objects are another party's words."""
    return "".join("?" if unicodedata.category(char) in ("Cc", "Cf") else char for char in cell) or DASH


# --- number formats -----------------------------------------------------------------------------------------------
def percent(share: float | None) -> str:
    return DASH if share is None else f"{share * 100:.2f}%"


def rate(value: float | None) -> str:
    return DASH if value is None else f"{value:.1f}rps"


def milliseconds(value: float | None) -> str:
    return DASH if value is None else f"{value:.0f}ms"


def count(value: int | None) -> str:
    return DASH if value is None else f"{value}"


def bytes_rate(value: float | None) -> str:
    return DASH if value is None else f"{value:.1f}B/s"


def meshed(row: StatRow) -> str:
    return DASH if row.meshed is None else f"{row.meshed}/{row.running}"


# --- stat ---------------------------------------------------------------------------------------------------------
def _number(header: str, form: Callable[[Any], str], name: str) -> Column:
    return Column(header, lambda row: form(getattr(row.numbers, name)))


REQUESTS: Final = (
    _number("SUCCESS", percent, "success"),
    _number("RPS", rate, "rps"),
    _number("LATENCY_P50", milliseconds, "latency_ms_p50"),
    _number("LATENCY_P95", milliseconds, "latency_ms_p95"),
    _number("LATENCY_P99", milliseconds, "latency_ms_p99"),
)
CONNECTIONS: Final = (_number("TCP_CONN", count, "tcp_open_connections"),)
BYTES: Final = (
    _number("READ_BYTES/SEC", bytes_rate, "tcp_read_bytes_rate"),
    _number("WRITE_BYTES/SEC", bytes_rate, "tcp_write_bytes_rate"),
)


def stat(rows: Sequence[StatRow], *, all_namespaces: bool, wide: bool) -> str:
    """A table for each kind; where there are several, every name says its kind."""
    kinds = list(dict.fromkeys(row.kind for row in rows))
    return "\n\n".join(
        text(
            _stat_columns(kind, mixed=len(kinds) > 1, all_namespaces=all_namespaces, wide=wide),
            [row for row in rows if row.kind == kind],
        )
        for kind in kinds
    )


def _stat_columns(kind: str, *, mixed: bool, all_namespaces: bool, wide: bool) -> list[Column]:
    prefix = f"{known(kind).short}/" if mixed else ""
    columns = [Column("NAME", lambda row: f"{prefix}{row.name}", left=True)]
    if all_namespaces and kind != "namespace":
        columns.insert(0, Column("NAMESPACE", lambda row: row.namespace, left=True))
    if kind == "trafficsplit":
        columns += [
            Column("APEX", lambda row: row.apex, left=True),
            Column("LEAF", lambda row: row.leaf, left=True),
            Column("WEIGHT", lambda row: row.weight),
        ]
    if kind == "pod":
        columns.append(Column("STATUS", lambda row: row.status))
    if kind in WORKLOADS or kind in ("service", "authority"):
        columns.append(Column("MESHED", meshed))
    return [*columns, *REQUESTS, *CONNECTIONS, *(BYTES if wide else ())]


def stat_json(rows: Sequence[StatRow], window: float) -> list[dict[str, Any]]:
    """Linkerd's keys, and the seconds that rates are over; a number that is not known is null."""
    return [_stat_object(row) | {"window_seconds": window} for row in rows]


def _stat_object(row: StatRow) -> dict[str, Any]:
    made: dict[str, Any] = {"namespace": row.namespace, "kind": row.kind, "name": row.name}
    if row.meshed is not None:
        made["meshed"] = meshed(row)
    made |= numbers_object(row.numbers)
    if row.kind == "trafficsplit":
        made |= {"apex": row.apex, "leaf": row.leaf, "weight": row.weight}
    return made


def numbers_object(numbers: Numbers) -> dict[str, Any]:
    def whole(value: float | None) -> int | None:
        return None if value is None else round(value)

    return {
        "success": numbers.success,
        "rps": numbers.rps,
        "latency_ms_p50": whole(numbers.latency_ms_p50),
        "latency_ms_p95": whole(numbers.latency_ms_p95),
        "latency_ms_p99": whole(numbers.latency_ms_p99),
        "tcp_open_connections": numbers.tcp_open_connections,
        "tcp_read_bytes_rate": numbers.tcp_read_bytes_rate,
        "tcp_write_bytes_rate": numbers.tcp_write_bytes_rate,
    }


# --- stat-inbound, stat-outbound ----------------------------------------------------------------------------------
def routes(rows: Sequence[RouteRow], *, inbound: bool) -> str:
    """TYPE is that of the route, where there is one; nobody counts time-outs and retries."""
    before = [Column("NAME", lambda row: row.name, left=True)]
    if inbound:
        before.append(Column("SERVER", lambda row: row.server, left=True))
    else:
        before.append(Column("SERVICE", lambda row: row.service, left=True))
    before += [Column("ROUTE", lambda row: row.route, left=True), Column("TYPE", lambda row: row.type, left=True)]
    if inbound:
        return text([*before, *REQUESTS], rows)
    unknown = [Column("TIMEOUTS", lambda _: DASH), Column("RETRIES", lambda _: DASH)]
    return text([*before, Column("BACKEND", lambda row: row.backend, left=True), *REQUESTS, *unknown], rows)


def routes_json(rows: Sequence[RouteRow], window: float, *, inbound: bool) -> list[dict[str, Any]]:
    made = []
    for row in rows:
        where = {"server": row.server} if inbound else {"service": row.service, "backend": row.backend}
        own = {
            "namespace": row.namespace,
            "kind": row.kind,
            "name": row.name,
            **where,
            "route": row.route,
            "type": row.type,
        }
        told = {key: value for key, value in numbers_object(row.numbers).items() if "tcp" not in key}
        made.append(own | told | {"window_seconds": window})
    return made


# --- edges --------------------------------------------------------------------------------------------------------
def edges(found: Sequence[Edge], *, wide: bool) -> str:
    columns = [
        Column("SRC", lambda edge: party(edge.source), left=True),
        Column("DST", lambda edge: party(edge.target), left=True),
        Column("SRC_NS", lambda edge: edge.source.namespace, left=True),
        Column("DST_NS", lambda edge: edge.target.namespace, left=True),
    ]
    if wide:
        columns += [
            Column("CLIENT_ID", lambda edge: edge.client_id, left=True),
            Column("SERVER_ID", lambda edge: edge.server_id, left=True),
        ]
    return text([*columns, Column("SECURED", lambda edge: edge.no_tls_reason or SECURED, left=True)], found)


def party(one: Party) -> str:
    """In another cluster: what it is there, and where."""
    return f"{one.cluster}:{known_short(one.kind)}/{one.name}" if one.cluster else one.name


def known_short(kind: str) -> str:
    return "sa" if kind == "serviceaccount" else known(kind).short


def edges_json(found: Sequence[Edge]) -> list[dict[str, Any]]:
    return [
        {
            "src": edge.source.name,
            "src_namespace": edge.source.namespace,
            "src_cluster": edge.source.cluster,
            "src_kind": edge.source.kind,
            "dst": edge.target.name,
            "dst_namespace": edge.target.namespace,
            "dst_cluster": edge.target.cluster,
            "dst_kind": edge.target.kind,
            "client_id": edge.client_id,
            "server_id": edge.server_id,
            "no_tls_reason": edge.no_tls_reason,
            **numbers_object(edge.numbers),
        }
        for edge in found
    ]
