"""Breaks a lab as it is told to, and heals it: the daemon's part of `isthmus lab wan` and `isthmus lab break`.

An order says how everything is to be; the difference to how it is gets done, and it is on record, before the answer.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from isthmus.lab import faults, relay, wan
from isthmus.lab.config import LabDir, LabError
from isthmus.lab.faults import Answer, Broken, Faults, How, Kind, Order
from isthmus.lab.node.commands import CommandError, run
from isthmus.lab.node.network import NAMESPACES, namespace_of
from isthmus.lab.topology import Cluster, Machine

log = logging.getLogger(__name__)

ORDER_SECONDS: Final = 5.0
"""For an order to arrive, once somebody has called."""


@dataclass(slots=True)
class Breaker:
    """Takes orders on a socket in the lab's folder.

    `hold` has the daemon's processes be dead or stuck, or run; `at_rest` is called whenever `busy` is over.
    """

    lab: LabDir
    clusters: Sequence[Cluster]
    hold: Callable[[Faults], None]
    at_rest: Callable[[], None]
    _faults: Faults = field(default_factory=Faults)
    _relay: relay.Relay = field(init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def serve(self) -> asyncio.Server:
        """Forget what a former daemon has broken, and take orders from now on."""
        self._relay = relay.Relay(self.clusters)
        self.lab.write_faults(self._faults)
        self.lab.orders.unlink(missing_ok=True)
        return await asyncio.start_unix_server(self._take, self.lab.orders)

    @property
    def busy(self) -> bool:
        return self._turn.locked()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ORDER_SECONDS):
                order = msgspec.json.decode(await reader.readline(), type=Order)
            async with self._turn:
                answer = await self._obey(order)
            self.at_rest()
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()
        except (OSError, TimeoutError, msgspec.DecodeError) as error:
            log.warning("an order was not understood: %s", error or type(error).__name__)
        finally:
            writer.close()

    async def _obey(self, order: Order) -> Answer:
        try:
            if order.kill:
                _signal(in_namespace(_namespace(order.kill)), signal.SIGKILL)
            await self._become(order.faults)
        except (LabError, CommandError, OSError) as error:
            return Answer(error=str(error))
        return Answer()

    async def _become(self, wanted: Faults) -> None:
        former = self._faults
        if wanted.wan != former.wan:
            await self._relay.apply(wanted.wan)
            for cluster in self.clusters:
                lines = "".join(f"{line}\n" for line in relay.routes(cluster, self.clusters, wanted.wan))
                for machine in cluster.machines:
                    await run(["ip", "-n", machine.namespace, "-batch", "-"], lines)
        for machine in (machine for cluster in self.clusters for machine in cluster.machines):
            await _change(machine, former, wanted)
        for pod in set(former.broken) - set(wanted.broken):
            await _break_pod(pod, broken=False)
        for pod in set(wanted.broken) - set(former.broken):
            await _break_pod(pod, broken=True)
        self._faults = wanted
        self.lab.write_faults(wanted)
        self.hold(wanted)


async def _change(machine: Machine, former: Faults, wanted: Faults) -> None:
    """Have a machine's packets be lost, or not, as is wanted now."""
    rules = faults.rules(wanted, machine)
    if rules != faults.rules(former, machine):
        await run([*wan.enter(machine), "nft", "-f", "-"], rules)
    cut = faults.unplugged(wanted, machine)
    if cut != faults.unplugged(former, machine):
        await wan.plug(machine, plugged=not cut)


async def _break_pod(pod: Broken, *, broken: bool) -> None:
    """Break or heal a pod; nothing when it is gone, or is no pod."""
    namespace = _namespace(pod)
    if pod.kind is not Kind.POD or not namespace.exists():
        return
    if pod.how is How.HANG:
        _signal(in_namespace(namespace), signal.SIGSTOP if broken else signal.SIGCONT)
    elif pod.how is How.BLACKHOLE:
        await run(["nsenter", f"--net={namespace}", "nft", "-f", "-"], faults.pod_rules(cut=broken))


def _namespace(pod: Broken) -> Path:
    return Path(NAMESPACES) / namespace_of(pod.cluster, pod.uid)


def in_namespace(namespace: Path) -> Iterator[int]:
    """Every process whose network this is."""
    wanted = namespace.stat().st_ino
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "ns" / "net").stat().st_ino == wanted:
                yield int(entry.name)
        except OSError:
            continue  # it has ended meanwhile


def descendants(pid: int) -> list[int]:
    """A process and everything that it has started, and that they have."""
    found = [pid]
    for parent in found:
        try:
            found += map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
        except OSError:
            continue  # it has ended meanwhile
    return found


def hang(pid: int, *, hung: bool) -> None:
    """Stop a process with its descendants, or have them go on; parents first, so that none sees another stopped."""
    _signal(descendants(pid), signal.SIGSTOP if hung else signal.SIGCONT)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # it died with its parent
