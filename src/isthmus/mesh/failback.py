"""How much of the traffic each group of endpoints may have: it leaves a group at once and comes back step by step.

A group that was away and is back has cold caches and no connections, and may go again at once. So what it is given
rises by `STEP` percent of the traffic every `STEP_SECONDS`, while somebody after it has the rest. It falls at once.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from isthmus.mesh.model import Endpoint, OutboundCluster

STEP: Final = 20
"""Percent."""
STEP_SECONDS: Final = 1.0


def factor(spill_below: int) -> int:
    """Percent of the traffic that a group carries for each percent of its endpoints that is ready, times 100."""
    return 10_000 // max(1, min(100, spill_below))


def capacity(group: tuple[Endpoint, ...], spill_below: int) -> int:
    """Percent of the traffic that a group carries with the endpoints that are ready."""
    ready = sum(1 for endpoint in group if endpoint.ready)
    return min(100, factor(spill_below) * ready // len(group)) if ready else 0


def levels(outbound: OutboundCluster) -> tuple[int, ...]:
    """Percent of the traffic that each group is given, unless those before it leave less."""
    return outbound.returning or _capacities(outbound)


def following(before: OutboundCluster, now: OutboundCluster) -> OutboundCluster:
    """The same destination, in which nobody gets much more at once than before."""
    given, possible = levels(before), _capacities(now)
    return _with(
        now,
        (
            min(most, max(given[priority], STEP)) if priority < len(given) and _relieved(now, priority) else most
            for priority, most in enumerate(possible)
        ),
    )


def advanced(now: OutboundCluster) -> OutboundCluster:
    """One step later."""
    possible = _capacities(now)
    return _with(now, (min(most, given + STEP) for most, given in zip(possible, levels(now), strict=True)))


def _with(now: OutboundCluster, given: Iterable[int]) -> OutboundCluster:
    found = tuple(given)
    return replace(now, returning=() if found == _capacities(now) else found)


def _capacities(outbound: OutboundCluster) -> tuple[int, ...]:
    return tuple(capacity(group, outbound.spill_below) for group in outbound.priorities)


def _relieved(outbound: OutboundCluster, priority: int) -> bool:
    """Whether somebody after this group can answer."""
    return any(endpoint.ready for group in outbound.priorities[priority + 1 :] for endpoint in group)
