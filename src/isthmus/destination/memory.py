"""What linked clusters said last, in a ConfigMap of this cluster: it outlives this process and their API servers.

One key for each service that is followed. Each replica writes what it follows and reads what any of them wrote. A key
goes when nobody here asks for its service any more, or its Link goes; another replica that still follows it sees that
and writes it again.
"""

import asyncio
import logging
import zlib
from collections.abc import Awaitable
from typing import Final, NamedTuple

import msgspec

from isthmus import names
from isthmus.kube import errors, requests
from isthmus.kube.client import Client
from isthmus.kube.kinds import Kind
from isthmus.kube.meta import Meta
from isthmus.kube.watch import Informer, Signal
from isthmus.mesh.state import Remote, RemoteKey, State
from isthmus.mesh.workloads import Workload
from isthmus.resources.discovery import EndpointSlice

log = logging.getLogger(__name__)

WRITE_SECONDS: Final = 5.0
"""Changes of so many seconds are written together: the most that a restart can have missed."""
UNCLAIMED_SECONDS: Final = 300.0
"""What no proxy asks for within this time of a start is forgotten."""
MOST_BYTES: Final = 900_000
"""A ConfigMap may hold 1 MiB."""
MOST_ENDPOINTS: Final = 8_000
"""A service with more does not fit, and is not packed to find that out: another cluster chooses how many there are."""


class _Remembered(msgspec.Struct, frozen=True):
    metadata: Meta = Meta()
    binary_data: dict[str, bytes] = msgspec.field(default_factory=dict, name="binaryData")


class _Record(msgspec.Struct, frozen=True):
    """`link` is the UID of the Link through which it was learned: another one may lead elsewhere."""

    link: str
    slices: tuple[EndpointSlice, ...]
    workloads: dict[str, Workload]


class _Learned(NamedTuple):
    cluster: str
    link: str
    remote: Remote


_KIND: Final = Kind("v1", "ConfigMap", "configmaps", _Remembered)
_READ: Final = msgspec.json.Decoder(_Record)
_WRITE: Final = msgspec.json.Encoder(order="deterministic")


class Memory:
    """Writes what is followed here, and knows what was followed before this process was born."""

    def __init__(
        self,
        local: Client,
        state: State,
        *,
        namespace: str = names.CONTROL_PLANE_NAMESPACE,
        write_seconds: float = WRITE_SECONDS,
        unclaimed_seconds: float = UNCLAIMED_SECONDS,
    ) -> None:
        self._local = local
        self._state = state
        self._namespace = namespace
        self._write_seconds = write_seconds
        self._unclaimed_seconds = unclaimed_seconds
        self._learned: dict[str, _Learned] = {}
        self._due: set[str] = set()
        """Names of what was learned since it was written last."""
        self._released: set[str] = set()
        self._misfits: dict[str, int] = {}
        """Sizes of what did not fit."""
        self._wake = Signal()
        self._problems: dict[str, str] = {}
        self._informer = Informer(
            local, _KIND, namespace=namespace, fields=f"metadata.name={names.REMOTE_ENDPOINTS_CONFIG_MAP}"
        )

    def learned(self, key: RemoteKey, remote: Remote) -> None:
        """A linked cluster said this."""
        link = self._state.link(key[0])
        if link is None:
            return
        name = _name(key)
        self._learned[name] = _Learned(key[0], link.metadata.uid, remote)
        self._due.add(name)
        self._misfits.pop(name, None)
        self._released.discard(name)
        self._wake.set()

    def released(self, key: RemoteKey) -> None:
        """No proxy here asks for it any more."""
        self._learned.pop(_name(key), None)
        self._released.add(_name(key))
        self._wake.set()

    def links_changed(self, *_: object) -> None:
        """What was said through a Link goes with it."""
        self._wake.set()

    def recall(self, key: RemoteKey) -> Remote | None:
        """What was said last through the same Link, to this process or another; None before the first list."""
        packed, link = self._written().get(_name(key)), self._state.link(key[0])
        if packed is None or link is None:
            return None
        try:
            record = _READ.decode(zlib.decompress(packed))
        except (zlib.error, *requests.UNREADABLE) as error:
            log.warning("what was remembered of %s/%s in cluster %s cannot be read: %s", *key[1:], key[0], error)
            return None
        return Remote(record.slices, record.workloads) if record.link == link.metadata.uid else None

    async def run(self, links_known: Awaitable[None]) -> None:
        """Until cancelled. Nothing is written before this cluster's Links are known."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run())
            await links_known
            await self._informer.synced.wait()
            self._informer.on_change(self._wake.set)
            group.create_task(self._forget_unclaimed(frozenset(self._written())))
            while True:
                await self._wake.wait()
                if change := self._change():
                    await self._write(change)
                await asyncio.sleep(self._write_seconds)

    async def _forget_unclaimed(self, found: frozenset[str]) -> None:
        await asyncio.sleep(self._unclaimed_seconds)
        self._released |= found - self._learned.keys()
        self._wake.set()

    def _written(self) -> dict[str, bytes]:
        found = self._informer.get(names.REMOTE_ENDPOINTS_CONFIG_MAP, self._namespace)
        return found.binary_data if found else {}

    def _change(self) -> dict[str, bytes | None]:
        """What makes the ConfigMap hold what is known; None takes a key away."""
        written = self._written()
        linked = {link.cluster: link.metadata.uid for link in self._state.links()}
        self._learned = {name: each for name, each in self._learned.items() if linked.get(each.cluster) == each.link}
        change: dict[str, bytes | None] = {
            name: None for name in written if name in self._released or _cluster(name) not in linked
        }
        room = MOST_BYTES - sum(_size(name, packed) for name, packed in written.items() if name not in change)
        excess = ""
        for name in self._learned:
            before = written.get(name)
            if before is not None and name not in self._due:
                continue
            room += _size(name, before)
            packed = self._fitting(name, room)
            room -= _size(name, packed)
            if packed is None:
                excess = excess or name
            elif packed == before:
                self._due.discard(name)
            if packed != before:
                change[name] = packed
        self._tell("size", f"there is more than fits into a ConfigMap, such as {excess}" if excess else "")
        return change

    def _fitting(self, name: str, room: int) -> bytes | None:
        """None if there is no room; what did not fit is packed again when it is different, or there is more room."""
        if self._misfits.get(name, 0) > room:
            return None
        learned = self._learned[name]
        packed = _packed(learned) if _count(learned.remote) <= MOST_ENDPOINTS else None
        size = MOST_BYTES + 1 if packed is None else _size(name, packed)
        if size <= room:
            return packed
        self._misfits[name] = size
        return None

    async def _write(self, change: dict[str, bytes | None]) -> None:
        # What comes in meanwhile is due again.
        due, released = self._due, self._released
        self._due, self._released = due - change.keys(), released - change.keys()
        try:
            await self._local.patch(_KIND, names.REMOTE_ENDPOINTS_CONFIG_MAP, {"binaryData": change}, self._namespace)
        except errors.KubeError as error:
            self._due |= due
            self._released |= released - self._learned.keys()
            self._wake.set()
            missing = isinstance(error, errors.NotFound | errors.Forbidden)
            advice = ". Apply what `linkerd install` prints again" if missing else ""
            self._tell("write", f"{error}{advice}")
        else:
            self._tell("write", "")

    def _tell(self, about: str, problem: str) -> None:
        """An error that lasts is told once; "" ends it."""
        before, self._problems[about] = self._problems.get(about, ""), problem
        if problem and problem != before:
            log.error(
                "endpoints of linked clusters are not remembered in ConfigMap %s/%s, so that a restart of this process "
                "loses them while their cluster is away: %s",
                self._namespace, names.REMOTE_ENDPOINTS_CONFIG_MAP, problem,
            )  # fmt: skip


def _name(key: RemoteKey) -> str:
    """A key of the ConfigMap; names of namespaces and Services have no underscore."""
    return "_".join(key)


def _cluster(name: str) -> str:
    return name.rsplit("_", 2)[0]


def _count(remote: Remote) -> int:
    return sum(len(item.endpoints or ()) for item in remote.slices)


def _size(name: str, packed: bytes | None) -> int:
    """What a key takes."""
    return 0 if packed is None else len(name) + len(packed)


def _packed(learned: _Learned) -> bytes:
    slices = tuple(sorted(learned.remote.slices, key=lambda each: each.metadata.key))
    return zlib.compress(_WRITE.encode(_Record(learned.link, slices, dict(learned.remote.workloads))))
