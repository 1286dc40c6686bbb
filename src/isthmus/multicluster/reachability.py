"""Which of a gateway's addresses answer: each is probed on its own, where there are several.

The probe Service has a port for each, which a proxy leads to that address alone. An address keeps its port for as long
as it is one of the gateway's, also when another controller takes over.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from isthmus.multicluster import prober
from isthmus.multicluster.links import Probe
from isthmus.multicluster.liveness import Liveness
from isthmus.resources import gateways
from isthmus.resources.gateways import Host

_LATENCY_EVERY: Final = 30.0
"""A latency is told so often; one that changes with each probe would be written with each."""


@dataclass(frozen=True, slots=True)
class Reached:
    """One address of a gateway, the name it comes from, and what is known of it; `probe_port` 0: not probed alone."""

    host: Host
    name: str = ""
    probe_port: int = 0
    state: str = "Probing"
    latency_ms: float | None = None

    @property
    def silent(self) -> bool:
        return self.state == "Down"


@dataclass(slots=True)
class _Door:
    """An address that is being probed."""

    probe_port: int
    liveness: Liveness
    task: "asyncio.Task[None] | None" = None
    shown: tuple[float, float | None] = field(default=(0.0, None))


class Reachability:
    """The addresses of one gateway; `changed` is called when something about them is different."""

    def __init__(
        self,
        spec: Probe,
        url: Callable[[int], str],
        changed: Callable[[], None],
        *,
        before: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """`before` is what the Link's status said; `url` is where to probe, by port of the probe Service."""
        self._spec = spec
        self._url = url
        self._changed = changed
        self._before = {host: item for item in before if (host := _host(item))}
        self._doors: dict[Host, _Door] = {}
        self._names: dict[Host, str] = {}
        self._wanted = asyncio.Event()

    def use(self, addresses: Iterable[tuple[Host, str]]) -> None:
        """These are the addresses now, each with the name it comes from."""
        self._names = dict(addresses)
        for host in [host for host in self._doors if host not in self._names]:
            door = self._doors.pop(host)
            if door.task is not None:
                door.task.cancel()
        for host in self._names:
            if host not in self._doors:
                self._doors[host] = self._door(host)
        self._wanted.set()

    async def run(self) -> None:
        """Probe each address while there are several."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                for door in self._doors.values():
                    several = len(self._doors) > 1
                    if several and door.task is None:
                        door.task = group.create_task(self._probe(door))
                    elif not several and door.task is not None:
                        door.task.cancel()
                        door.task = None

    def state(self, whole: Liveness, latency_ms: float | None) -> tuple[Reached, ...]:
        """Every address; a single one is as alive as the gateway."""
        if len(self._doors) == 1:
            return tuple(Reached(host, self._names[host], 0, whole.state, latency_ms) for host in self._doors)
        return tuple(
            Reached(host, self._names[host], door.probe_port, door.liveness.state, door.shown[1])
            for host, door in self._doors.items()
        )

    def _door(self, host: Host) -> _Door:
        before = self._before.get(host, {})
        taken = {door.probe_port for door in self._doors.values()}
        port = int(before.get("probePort") or 0)
        first = self._spec.port + 1
        if port < first or port in taken:
            port = next(number for number in range(first, first + len(taken) + 1) if number not in taken)
        return _Door(port, Liveness("Down" if before.get("alive") == "False" else "Probing"))

    async def _probe(self, door: _Door) -> None:
        def told(liveness: Liveness, _: bool) -> None:
            before, door.liveness = door.liveness, liveness
            now = time.monotonic()
            if liveness.state != before.state or now - door.shown[0] > _LATENCY_EVERY:
                door.shown = (now, liveness.latency_ms)
                self._changed()

        await prober.probe(self._url(door.probe_port), self._spec, door.liveness, told=told)


def _host(item: Mapping[str, Any]) -> Host | None:
    try:
        return gateways.host(str(item.get("address") or ""), 0)
    except gateways.Unusable:
        return None


def known(before: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """What names resolved to, as the status said."""
    found: dict[str, list[str]] = {}
    for item in before:
        host, name = _host(item), str(item.get("name") or "")
        if host and name:
            found.setdefault(name, []).append(host.host)
    return {name: tuple(addresses) for name, addresses in found.items()}
