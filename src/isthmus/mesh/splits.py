"""A TrafficSplit as groups of endpoints: those that share the traffic, then the standbys in their order."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import gcd
from typing import Final, NamedTuple

from isthmus.mesh.model import Address, Endpoint, OutboundCluster
from isthmus.resources.core import Service, ServicePortSpec

Groups = tuple[tuple[Endpoint, ...], ...]


class Share(NamedTuple):
    """A backend, its weight, and who answers for it now."""

    backend: str
    weight: Fraction
    endpoints: tuple[Endpoint, ...]


_PARTS: Final = 1_000_000
"""The traffic of a group, in parts that are given to endpoints: sums of weights must fit into 32 bits."""
_PEERS: Final = 32
"""So many kinds of peers are remembered; a service that had more forgets them when they go."""
_Where = tuple[str | None, Address]


def port_of(backend: Service, root: ServicePortSpec) -> ServicePortSpec | None:
    """Where a backend answers for a port of the root service: at the same number, else under the same name."""
    named = (port for port in backend.ports if port.name == root.name)
    return backend.port(root.port) or next(named, None)


def priorities(shares: Sequence[Share]) -> Groups:
    """Backends with a weight share the first group; each without one is a standby, in the order written.

    A backend that has nobody leaves its share to the others. Nobody is in two groups: the first one counts.
    """
    weighted = [share for share in shares if share.weight]
    standbys = [share.endpoints for share in shares if not share.weight]
    groups = ([_weighted(weighted)] if weighted else []) + standbys
    return tuple(_each_once(groups))


def following(before: OutboundCluster, now: OutboundCluster) -> OutboundCluster:
    """The same destination, knowing who answered for it before.

    A proxy replaces a cluster, with all its connections, when it has to meet somebody else than before. With standbys
    that would happen just when traffic moves to them, and again when it moves back.
    """
    peers = before.peers | now.peers
    if len(now.priorities) < 2 or before.service != now.service or len(peers) > _PEERS:
        return now
    return replace(now, former=peers)


def _weighted(shares: Iterable[Share]) -> tuple[Endpoint, ...]:
    """Every endpoint with its part of its backend's share; who answers for two backends has a part of both."""
    present = [share for share in shares if share.endpoints]
    total = sum((share.weight for share in present), Fraction(0))
    parts: dict[_Where, Fraction] = {}
    found: dict[_Where, Endpoint] = {}
    for share in present:
        for endpoint in share.endpoints:
            where = _where(endpoint)
            parts[where] = parts.get(where, Fraction(0)) + share.weight / total / len(share.endpoints)
            found.setdefault(where, replace(endpoint, backend=share.backend))
    return tuple(replace(found[where], weight=weight) for where, weight in _whole(parts).items())


def _whole(parts: dict[_Where, Fraction]) -> dict[_Where, int]:
    """The same proportions in small whole numbers; equal parts are all 1."""
    rounded = {where: max(1, round(part * _PARTS)) for where, part in parts.items()}
    common = gcd(*rounded.values()) if rounded else 1
    return {where: weight // common for where, weight in rounded.items()}


def _each_once(groups: Iterable[Iterable[Endpoint]]) -> Iterable[tuple[Endpoint, ...]]:
    seen: set[_Where] = set()
    for group in groups:
        kept = tuple(endpoint for endpoint in group if _where(endpoint) not in seen)
        seen.update(map(_where, kept))
        yield kept


def _where(endpoint: Endpoint) -> _Where:
    return endpoint.gateway, endpoint.address
