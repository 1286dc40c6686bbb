"""What a person is told of one request that Envoy tapped. The standard library only."""

from datetime import datetime
from typing import Any, Final

from isthmus import names
from isthmus.proxy import metrics

LONGEST_TEXT: Final = 1024
Trace = dict[str, Any]


def told(trace: Trace, pod_ip: str) -> dict[str, Any]:
    """What a person needs of a trace: between whom, what was asked, what was answered, after how long."""
    trace = trace.get("http_buffered_trace") or {}
    request, response = trace.get("request") or {}, trace.get("response") or {}
    asked, answered = _headers(request.get("headers")), _headers(response.get("headers"))
    grpc_status = _headers(response.get("trailers")).get("grpc-status") or answered.get("grpc-status", "")
    client, upstream = trace.get("downstream_connection") or {}, trace.get("upstream_connection") or {}
    called = address(client.get("local_address"))
    inbound = called.rpartition(":")[0] == pod_ip
    # Whoever is not this side of a connection cannot make itself anybody: both headers are written by this proxy.
    peer = asked.get(names.CLIENT_ID_HEADER) if inbound else answered.get(names.SERVER_ID_HEADER)
    found = {
        "direction": "inbound" if inbound else "outbound",
        "src": address(client.get("remote_address")),
        "called": called,
        "dst": address(upstream.get("remote_address")),
        "peer": peer or "",
        "method": asked.get(":method", ""),
        "scheme": asked.get(":scheme", ""),
        "authority": asked.get(":authority", ""),
        "path": asked.get(":path", ""),
        "status": answered.get(":status", ""),
        "grpc_status": grpc_status,
        "failed": metrics.classification(answered.get(":status", ""), grpc_status) == "failure",
        "proxy_error": answered.get(names.PROXY_ERROR_HEADER, ""),
        "length": answered.get("content-length", ""),
        "latency_us": _between(request.get("headers_received_time", ""), response.get("headers_received_time", "")),
    }
    return {key: value[:LONGEST_TEXT] if isinstance(value, str) else value for key, value in found.items()}


def _headers(headers: list[dict[str, str]] | None) -> dict[str, str]:
    return {each["key"]: each["value"] for each in headers or ()}


def address(found: dict[str, Any] | None) -> str:
    """`ip:port`; of a tunnel `<cluster>/<ip>:<port>`."""
    found = found or {}
    if internal := found.get("envoy_internal_address"):
        return str(internal.get("endpoint_id", ""))
    place = found.get("socket_address") or {}
    return f"{place.get('address', '')}:{place.get('port_value', '')}" if place else ""


def _between(start: str, end: str) -> int | None:
    """Microseconds between two times as Envoy writes them."""
    began, ended = _moment(start), _moment(end)
    return None if began is None or ended is None else max(ended - began, 0)


def _moment(text: str) -> int | None:
    seconds, _, rest = text.rstrip("Z").partition(".")
    if not seconds:
        return None
    whole = int(datetime.fromisoformat(f"{seconds}+00:00").timestamp())
    return whole * 1_000_000 + int((rest + "000000")[:6])
