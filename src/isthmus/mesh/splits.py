"""A TrafficSplit as groups of endpoints: those that share the traffic, then the standbys in their order."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import gcd
from typing import Final, NamedTuple

from isthmus.mesh import failback
from isthmus.mesh.model import Address, Endpoint, OutboundCluster
from isthmus.resources.core import Service, ServicePortSpec

Groups = tuple[tuple[Endpoint, ...], ...]


class Share(NamedTuple):
    """A backend, its weight, and who answers for it now, in failover order."""

    backend: str
    weight: Fraction
    groups: Groups


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

    A backend that has nobody leaves its share to the others. Nobody is in two groups: the first one counts. Where a
    backend fails over in itself, as a federated service does, that comes before the standbys.
    """
    weighted = [share for share in shares if share.weight]
    depth = max((len(share.groups) for share in weighted), default=0)
    sharing = [_weighted(weighted, each) for each in range(depth)]
    standbys = [_of(share.backend, group) for share in shares if not share.weight for group in share.groups]
    return each_once([*sharing, *standbys])


def _of(backend: str, group: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    return tuple(replace(endpoint, backend=backend) for endpoint in group)


def each_once(groups: Iterable[Iterable[Endpoint]]) -> Groups:
    """Nobody is in two groups, or twice in one: the first one counts."""
    seen: set[_Where] = set()
    kept: list[tuple[Endpoint, ...]] = []
    for group in groups:
        fresh: dict[_Where, Endpoint] = {}
        for endpoint in group:
            if _where(endpoint) not in seen:
                fresh.setdefault(_where(endpoint), endpoint)
        seen.update(fresh)
        kept.append(tuple(fresh.values()))
    return tuple(kept)


def following(before: OutboundCluster, now: OutboundCluster) -> OutboundCluster:
    """The same destination, knowing who answered for it before.

    A proxy replaces a cluster, with all its connections, when it has to meet somebody else than before. With standbys
    that would happen just when traffic moves to them, and again when it moves back.
    """
    if len(now.priorities) < 2 or before.service != now.service:
        return now
    peers = before.peers | now.peers
    slowly = failback.following(before, now)
    return slowly if len(peers) > _PEERS else replace(slowly, former=peers)


def _weighted(shares: Iterable[Share], depth: int) -> tuple[Endpoint, ...]:
    """Every endpoint with its part of its backend's share; who answers for two backends has a part of both."""
    present = [(share, share.groups[depth]) for share in shares if share.groups[depth : depth + 1] not in ((), ((),))]
    total = sum((share.weight for share, _ in present), Fraction(0))
    parts: dict[_Where, Fraction] = {}
    found: dict[_Where, Endpoint] = {}
    for share, endpoints in present:
        for endpoint in endpoints:
            where = _where(endpoint)
            parts[where] = parts.get(where, Fraction(0)) + share.weight / total / len(endpoints)
            found.setdefault(where, replace(endpoint, backend=share.backend))
    return tuple(replace(found[where], weight=weight) for where, weight in _whole(parts).items())


def _whole(parts: dict[_Where, Fraction]) -> dict[_Where, int]:
    """The same proportions in small whole numbers; equal parts are all 1."""
    rounded = {where: max(1, round(part * _PARTS)) for where, part in parts.items()}
    common = gcd(*rounded.values()) if rounded else 1
    return {where: weight // common for where, weight in rounded.items()}


def _where(endpoint: Endpoint) -> _Where:
    return endpoint.gateway, endpoint.address
