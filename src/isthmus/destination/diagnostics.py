"""What the destination process would tell a proxy, for people: the page behind `linkerd diagnostics endpoints`."""

from collections.abc import Mapping

import msgspec

from isthmus import names
from isthmus.mesh import outbound
from isthmus.mesh.model import Endpoint, GatewayCluster, OutboundCluster
from isthmus.mesh.outbound import Pending
from isthmus.mesh.state import State


def endpoints(state: State, query: Mapping[str, str]) -> bytes:
    """JSON for `?address=<ip>:<port>`: `{"state": known|unknown|pending, "endpoints": [...]}`.

    `pending`: some of it is in a linked cluster that was not heard, or no proxy has asked for it; the rest is listed.
    """
    address = query.get("address", "")
    if not address:
        raise ValueError("ask for /endpoints?address=<ip>:<port>")
    answer = outbound.resolve(state, f"{names.OUTBOUND_CLUSTER_PREFIX}{address}")
    if isinstance(answer, Pending):
        return msgspec.json.encode({"state": "pending", "endpoints": []})
    if answer is None:
        return msgspec.json.encode({"state": "unknown", "endpoints": []})
    known = isinstance(answer, GatewayCluster) or not answer.provisional
    return msgspec.json.encode({"state": "known" if known else "pending", "endpoints": _rows(answer)})


def _rows(answer: OutboundCluster | GatewayCluster) -> list[dict[str, object]]:
    if isinstance(answer, GatewayCluster):
        return [
            {"ip": address.host, "port": address.port, "identity": answer.identity.spiffe_id, "priority": 0}
            for address in answer.addresses
        ]
    return [
        _row(endpoint, priority)
        for priority, group in enumerate(answer.priorities)
        for endpoint in group
        if endpoint.ready
    ]


def _row(endpoint: Endpoint, priority: int) -> dict[str, object]:
    return {
        "ip": endpoint.address.host,
        "port": endpoint.address.port,
        "pod": endpoint.pod,
        "identity": endpoint.identity.spiffe_id if endpoint.identity else None,
        "cluster": endpoint.cluster or None,
        "priority": priority,
    }
