"""What is broken in a lab on purpose: bad networks between clusters, and parts that are dead, stuck or cut off.

Values only: the whole of it is one `Faults`, which is replaced by another one; `lab/breaking.py` brings the lab there.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from isthmus.lab.topology import API_PORT

UPLINK: Final = "eth0"
TABLE: Final = "faults"


class Kind(StrEnum):
    """What can be broken."""

    POD = "pod"
    NODE = "node"
    API_SERVER = "apiserver"
    CLUSTER = "cluster"


class How(StrEnum):
    """How something is broken."""

    KILL = "kill"
    HANG = "hang"
    BLACKHOLE = "blackhole"


class Wan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The network between two clusters, each way: seconds, a share of packets, bits per second (0: as many as can)."""

    between: tuple[str, str]
    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    rate: float = 0.0
    partition: bool = False


class Broken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of a cluster that is broken; `namespace`, `name` and `uid` are a pod's."""

    kind: Kind
    cluster: str
    how: How
    namespace: str = ""
    name: str = ""
    uid: str = ""

    @property
    def target(self) -> tuple[str, ...]:
        """What is broken, whichever way."""
        return (self.kind, self.cluster, self.namespace, self.name)


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is broken in a lab."""

    wan: tuple[Wan, ...] = ()
    broken: tuple[Broken, ...] = ()

    def with_wan(self, changed: Iterable[Wan]) -> "Faults":
        """These pairs of clusters as said, whatever they were before."""
        new = {pair(*one.between): one for one in changed}
        kept = [one for one in self.wan if pair(*one.between) not in new]
        return Faults(wan=(*kept, *new.values()), broken=self.broken)

    def without_wan(self, pairs: Iterable[frozenset[str]]) -> "Faults":
        healed = set(pairs)
        return Faults(wan=tuple(one for one in self.wan if pair(*one.between) not in healed), broken=self.broken)

    def with_broken(self, new: Broken) -> "Faults":
        kept = [one for one in self.broken if one.target != new.target]
        return Faults(wan=self.wan, broken=(*kept, new))

    def without_broken(self, targets: Iterable[tuple[str, ...]]) -> "Faults":
        healed = set(targets)
        return Faults(wan=self.wan, broken=tuple(one for one in self.broken if one.target not in healed))


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon is told: how everything is to be, and a pod whose programs are to be killed, once."""

    faults: Faults
    kill: Broken | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon says when it is so; or why it is not."""

    error: str = ""


def pair(one: str, other: str) -> frozenset[str]:
    return frozenset((one, other))


_PROCESSES: Final = {Kind.NODE: ("node",), Kind.API_SERVER: ("apiserver",), Kind.CLUSTER: ("node", "apiserver")}


def hold(faults: Faults, cluster: str, process: str) -> How | None:
    """Whether a process of a cluster is to be dead or stuck."""
    found = {
        one.how
        for one in faults.broken
        if one.cluster == cluster and process in _PROCESSES.get(one.kind, ()) and one.how is not How.BLACKHOLE
    }
    return How.KILL if How.KILL in found else How.HANG if found else None


_API: Final = f"tcp dport {API_PORT}"
_FROM_API: Final = f"tcp sport {API_PORT}"
_DROPS: Final = {
    Kind.API_SERVER: ((f"{_API} drop",), (f"{_FROM_API} drop",)),
    Kind.NODE: (
        (f'iifname "{UPLINK}" {_API} accept', f'iifname "{UPLINK}" drop', f"{_API} drop"),
        (f'oifname "{UPLINK}" {_FROM_API} accept', f'oifname "{UPLINK}" drop', f"{_FROM_API} drop"),
    ),
    Kind.CLUSTER: ((f'iifname "{UPLINK}" drop',), (f'oifname "{UPLINK}" drop',)),
}
"""What a node loses of packets that come in, and of those that go out. The first word about a packet is the last."""


def node_rules(faults: Faults, cluster: str) -> str:
    """One nft transaction that has a node lose what it is to lose."""
    kinds = {one.kind for one in faults.broken if one.cluster == cluster and one.how is How.BLACKHOLE}
    chosen = [_DROPS[kind] for kind in (Kind.CLUSTER, Kind.API_SERVER, Kind.NODE) if kind in kinds]
    return _table([rule for rules, _ in chosen for rule in rules], [rule for _, rules in chosen for rule in rules])


def pod_rules(*, cut: bool) -> str:
    """One nft transaction that has a pod lose everything, or nothing."""
    return _table(['iifname != "lo" drop'], ['oifname != "lo" drop']) if cut else _table([], [])


def _table(arriving: list[str], leaving: list[str]) -> str:
    lines = [f"table inet {TABLE}", f"delete table inet {TABLE}"]
    if arriving or leaving:
        lines += [f"table inet {TABLE} {{"]
        lines += [" chain arriving {", "  type filter hook prerouting priority -450; policy accept;"]
        lines += [f"  {rule}" for rule in arriving]
        lines += [" }", " chain leaving {", "  type filter hook postrouting priority 450; policy accept;"]
        lines += [f"  {rule}" for rule in leaving]
        lines += [" }", "}"]
    return "\n".join([*lines, ""])
