"""How a Deployment moves from old pods to new ones, as arithmetic over its ReplicaSets. Pure: no I/O, no clock."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Size:
    """One ReplicaSet: how many pods it is told to have, how many of them run, how many are available."""

    name: str
    desired: int
    running: int
    available: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a rollout may exceed the wanted number of pods, and how far it may fall short of it."""

    replicas: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        return self.replicas + self.surge

    @property
    def least_available(self) -> int:
        return self.replicas - self.unavailable


def limits(spec: Mapping[str, Any]) -> Limits:
    """The limits a Deployment's spec sets. Percentages round in favour of progress upwards and of safety downwards."""
    replicas = int(spec.get("replicas", 1))
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    surge = _amount(rolling.get("maxSurge", "25%"), replicas, math.ceil)
    unavailable = min(_amount(rolling.get("maxUnavailable", "25%"), replicas, math.floor), replicas)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Limits(replicas, surge, unavailable)


def _amount(value: int | str, replicas: int, rounded: Any) -> int:
    if isinstance(value, int):
        return value
    return int(rounded(int(value.removesuffix("%")) * replicas / 100))


def rolling(new: Size, old: Sequence[Size], bounds: Limits) -> dict[str, int]:
    """The next sizes of a rolling update, for the ReplicaSets whose size must change now."""
    if not any(size.desired for size in old):
        return _changed({new: bounds.replicas})
    sizes = {size: size.desired for size in old}
    sizes[new] = _grown(new, old, bounds)
    _shrink(sizes, new, old, bounds)
    return _changed(sizes)


def recreate(new: Size, old: Sequence[Size], replicas: int) -> dict[str, int]:
    """The next sizes when all old pods must be gone before the first new one starts."""
    if any(size.desired or size.running for size in old):
        return _changed(dict.fromkeys(old, 0))
    return _changed({new: replicas})


def resized(newest: Size, replicas: int) -> dict[str, int]:
    """The next sizes of a Deployment that is paused: only its newest ReplicaSet follows the number asked for."""
    return _changed({newest: replicas})


def _grown(new: Size, old: Sequence[Size], bounds: Limits) -> int:
    """The new ReplicaSet takes what room there is: old pods hold theirs until they are really gone."""
    if new.desired >= bounds.replicas:
        return bounds.replicas
    taken = new.desired + sum(max(size.desired, size.running) for size in old)
    room = max(0, bounds.most - taken)
    return min(new.desired + room, bounds.replicas)


def _shrink(sizes: dict[Size, int], new: Size, old: Sequence[Size], bounds: Limits) -> None:
    """Old pods that are not available go first; available ones only while enough others are."""
    spare = sum(size.desired for size in old) + new.desired - bounds.least_available
    spare -= max(0, new.desired - new.available)
    for size in old:
        broken = min(max(0, size.desired - size.available), max(0, spare))
        sizes[size] -= broken
        spare -= broken
    spare = min(spare, new.available + sum(min(size.available, sizes[size]) for size in old) - bounds.least_available)
    for size in old:
        given = min(sizes[size], max(0, spare))
        sizes[size] -= given
        spare -= given


def _changed(sizes: Mapping[Size, int]) -> dict[str, int]:
    return {size.name: wanted for size, wanted in sizes.items() if wanted != size.desired}
