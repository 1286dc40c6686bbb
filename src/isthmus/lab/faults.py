"""What is broken in a lab on purpose: bad networks between clusters, and parts that are dead, stuck or cut off.

Values only: the whole of it is one `Faults`, which is replaced by another one; `lab/breaking.py` brings the lab there.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from isthmus.lab.topology import API_PORT, Cluster, Machine

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
    """One part of a cluster that is broken; `name` is a node's or a pod's, `namespace` and `uid` are a pod's."""

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


API_PROCESS: Final = "apiserver"
NODE_PROCESS: Final = "node"
"""The process of a cluster's only node; those of several are called as their nodes are."""


def hold(faults: Faults, cluster: str, process: str) -> How | None:
    """Whether a process of a cluster is to be dead or stuck."""
    found = {
        one.how
        for one in faults.broken
        if one.cluster == cluster and _concerns(one, process) and one.how is not How.BLACKHOLE
    }
    return How.KILL if How.KILL in found else How.HANG if found else None


def _concerns(broken: Broken, process: str) -> bool:
    match broken.kind:
        case Kind.CLUSTER:
            return True
        case Kind.API_SERVER:
            return process == API_PROCESS
        case Kind.NODE:
            return process in (NODE_PROCESS, broken.name)
        case _:
            return False


_API: Final = f"tcp dport {API_PORT}"
_FROM_API: Final = f"tcp sport {API_PORT}"
_API_DROPS: Final = ((f"{_API} drop",), (f"{_FROM_API} drop",))
_NODE_DROPS: Final = (
    (f'iifname "{UPLINK}" {_API} accept', f'iifname "{UPLINK}" drop', f"{_API} drop"),
    (f'oifname "{UPLINK}" {_FROM_API} accept', f'oifname "{UPLINK}" drop', f"{_FROM_API} drop"),
)
"""What a machine loses of packets that come in, and of those that go out. The first word about a packet is the last."""


def rules(faults: Faults, machine: Machine) -> str:
    """One nft transaction that has a machine lose what it is to lose."""
    hows = _hows(faults, machine)
    chosen: list[tuple[Sequence[str], Sequence[str]]] = []
    if How.BLACKHOLE in hows[Kind.CLUSTER]:
        chosen.append(_cluster_drops(machine.cluster))
    if How.BLACKHOLE in hows[Kind.API_SERVER] and machine.is_control:
        chosen.append(_API_DROPS)
    if How.BLACKHOLE in hows[Kind.NODE] and machine.is_control:
        chosen.append(_NODE_DROPS)
    text = _table([rule for rules, _ in chosen for rule in rules], [rule for _, rules in chosen for rule in rules])
    mute = How.HANG in hows[Kind.NODE] and machine.cluster.several
    return text + _mute(str(machine.cluster.load_balancer_network) if mute else "")


def unplugged(faults: Faults, machine: Machine) -> bool:
    """Whether no packet is to reach a machine or leave it. A cluster's only node carries the API server, and stays."""
    hows = _hows(faults, machine)[Kind.NODE]
    return machine.cluster.several and not hows.isdisjoint((How.KILL, How.BLACKHOLE))


def _hows(faults: Faults, machine: Machine) -> dict[Kind, set[How]]:
    """How a machine, or all that it is a part of, is broken."""
    found: dict[Kind, set[How]] = {kind: set() for kind in Kind}
    for one in faults.broken:
        if one.cluster == machine.cluster.name and (one.kind is not Kind.NODE or one.name == machine.name):
            found[one.kind].add(one.how)
    return found


def _cluster_drops(cluster: Cluster) -> tuple[Sequence[str], Sequence[str]]:
    """Nothing in, nothing out; but what its machines say to each other comes through."""
    if not cluster.several:
        return (f'iifname "{UPLINK}" drop',), (f'oifname "{UPLINK}" drop',)
    own = ", ".join(map(str, (*cluster.networks, cluster.pod_network)))
    return (
        (f'iifname "{UPLINK}" ip saddr != {{ {own} }} drop',),
        (f'oifname "{UPLINK}" ip daddr != {{ {own} }} drop',),
    )


def _mute(network: str) -> str:
    """Who hangs does not answer for load-balancer addresses: another node does."""
    lines = [f"table arp {TABLE}", f"delete table arp {TABLE}"]
    if network:
        lines += [f"table arp {TABLE} {{", " chain asked {", "  type filter hook input priority 0; policy accept;"]
        lines += [f"  arp daddr ip {network} drop", " }", "}"]
    return "\n".join([*lines, ""])


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
