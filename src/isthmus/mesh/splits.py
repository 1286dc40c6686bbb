"""A TrafficSplit as groups of endpoints: those that share the traffic, then the standbys in their order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import gcd
from typing import Final, NamedTuple

from isthmus.mesh import failback
from isthmus.mesh.model import Address, Endpoint, OutboundCluster
from isthmus.resources.core import Service, ServicePortSpec
from isthmus.resources.failover import primary
from isthmus.resources.splits import TrafficSplit

Groups = tuple[tuple[Endpoint, ...], ...]


class Wanted(NamedTuple):
    """A backend as somebody wrote it; without a number its port is found by that of the Service it stands for."""

    service: str
    port: int | None
    weight: Fraction
    """0: a standby."""


class Sharing(NamedTuple):
    """Who answers for a Service, by a TrafficSplit or an HTTPRoute with these annotations."""

    backends: tuple[Wanted, ...]
    annotations: Mapping[str, str]


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


def sharing(split: TrafficSplit) -> Sharing:
    """What a TrafficSplit says. A weight that cannot be read is passed over, a primary that is no backend, too."""
    annotations = split.metadata.annotations
    wanted = [Wanted(each.service, None, each.share) for each in split.backends if each.share is not None]
    return Sharing(with_primary(wanted, primary(annotations)), annotations)


def with_primary(wanted: Sequence[Wanted], first: str) -> tuple[Wanted, ...]:
    """One backend with all the traffic, the others standing by in their order; as they are if it is none of them."""
    if all(each.service != first for each in wanted):
        return tuple(wanted)
    return tuple(each._replace(weight=Fraction(each.service == first)) for each in wanted)


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
