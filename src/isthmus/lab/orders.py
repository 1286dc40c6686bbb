"""From a person's words to an order for a lab's daemon: names checked, pods found, and the answer waited for."""

import asyncio
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from isthmus.lab.client import PODS, Client, Object
from isthmus.lab.config import LabDir, LabError, Record
from isthmus.lab.faults import Answer, Broken, Faults, How, Kind, Order, Wan, pair
from isthmus.lab.topology import Machine

ANSWER_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 5.0
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_BITS: Final = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_NUMBER: Final = re.compile(r"(\d+(?:\.\d+)?)([a-z%]+)")


def seconds(text: str) -> float:
    """`40ms`; ValueError says what is accepted."""
    return _quantity(text, _SECONDS, "a time such as 40ms or 1.5s")


def bits(text: str) -> float:
    """`100mbit`, per second."""
    return _quantity(text, _BITS, "a rate such as 512kbit, 100mbit or 1gbit")


def share(text: str) -> float:
    """`1%`."""
    if (found := _quantity(text, {"%": 0.01}, "a share such as 1% or 0.5%")) > 1:
        raise ValueError(f"{text!r} is more than all: give 100% at most")
    return found


def _quantity(text: str, units: dict[str, float], wanted: str) -> float:
    match = _NUMBER.fullmatch(text.strip().lower())
    if match is None or match[2] not in units:
        raise ValueError(f"{text!r} is not {wanted}")
    return float(match[1]) * units[match[2]]


def pairs(record: Record, names: Sequence[str]) -> list[tuple[str, str]]:
    """Every two of these clusters; LabError when there are no two, or the lab has no such cluster."""
    for name in names:
        _known(record, name)
    if len(set(names)) < 2:
        raise LabError("A network is between two clusters: name them, as in --between cluster-east,cluster-west.")
    return list(itertools.combinations(dict.fromkeys(names), 2))


def spoil(lab: LabDir, record: Record, between: Iterable[tuple[str, str]], wan: Wan) -> None:
    """Have the network between these clusters be as `wan` says."""
    changed = [msgspec.structs.replace(wan, between=ends) for ends in between]
    _change(lab, lambda faults: Order(faults=faults.with_wan(changed)))


def heal_wan(lab: LabDir, between: Iterable[tuple[str, str]] | None) -> None:
    """Have the network between these clusters, or (None) everywhere, be good."""

    def healed(faults: Faults) -> Order:
        chosen = (one.between for one in faults.wan) if between is None else between
        return Order(faults=faults.without_wan(pair(*ends) for ends in chosen))

    _change(lab, healed)


def damage(lab: LabDir, record: Record, kind: Kind, name: str, how: How) -> None:
    """Break something, whatever was done to it before. A pod is killed once, all else stays as it is until healed."""
    targets = _targets(lab, record, kind, name, how)
    if kind is Kind.POD and how is How.KILL:
        _change(lab, lambda faults: Order(faults=faults, kill=targets[0]))
    else:
        _change(lab, lambda faults: Order(faults=functools.reduce(Faults.with_broken, targets, faults)))


def heal(lab: LabDir, record: Record, kind: Kind, name: str) -> int:
    """Heal something, and how many faults it had: a cluster with everything in it. What is well stays well."""
    parts = _parts(lab, record, kind, name)
    healed: list[tuple[str, ...]] = []

    def without(faults: Faults) -> Order:
        healed.extend(
            one.target
            for one in faults.broken
            for cluster, namespace, own in parts
            if one.cluster == cluster and (kind is Kind.CLUSTER or one.target[0] == kind)
            if kind is Kind.CLUSTER or (one.namespace, one.name) == (namespace, own)
        )
        return Order(faults=faults.without_broken(healed))

    _change(lab, without)
    return len(healed)


def _known(record: Record, name: str) -> str:
    if name not in record.clusters:
        raise LabError(f"The lab has no cluster named {name!r}: it has {', '.join(record.clusters)}.")
    return name


def _parts(lab: LabDir, record: Record, kind: Kind, name: str) -> list[tuple[str, str, str]]:
    """Cluster, namespace, and node or pod that a name means. A cluster's name means all of its nodes."""
    if kind is Kind.NODE:
        return [(node.cluster.name, "", node.name) for node in nodes(lab, record, name)]
    if kind is not Kind.POD:
        return [(_known(record, name), "", "")]
    words = name.split("/")
    if len(words) not in (2, 3) or not all(words):
        raise LabError(f"{name!r} does not say which pod: name it as CLUSTER/POD or CLUSTER/NAMESPACE/POD.")
    return [(_known(record, words[0]), words[1] if len(words) == 3 else "default", words[-1])]


def nodes(lab: LabDir, record: Record, name: str) -> list[Machine]:
    """The node of that name, or all nodes of the cluster of that name."""
    every = [node for cluster in lab.clusters(record) for node in cluster.nodes]
    if found := [node for node in every if name in (node.name, node.cluster.name)]:
        return found
    known = ", ".join(node.name for node in every)
    raise LabError(f"The lab has no node and no cluster named {name!r}: its nodes are {known}.")


def _targets(lab: LabDir, record: Record, kind: Kind, name: str, how: How) -> list[Broken]:
    parts = _parts(lab, record, kind, name)
    if kind is not Kind.POD:
        return [Broken(kind=kind, cluster=cluster, how=how, name=own) for cluster, _, own in parts]
    ((cluster, namespace, pod),) = parts
    found = asyncio.run(_find_pod(lab, cluster, namespace, pod))
    return [Broken(kind=kind, cluster=cluster, how=how, namespace=namespace, name=pod, uid=found["metadata"]["uid"])]


async def _find_pod(lab: LabDir, cluster: str, namespace: str, name: str) -> Object:
    async with Client.from_kubeconfig(lab.kubeconfig, cluster) as client:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                found = await client.find(PODS, name, namespace)
        except Exception as error:
            said = str(error) or type(error).__name__
            raise LabError(f"The API server of {cluster} was asked for the pod and does not answer: {said}.") from None
    if found is None:
        raise LabError(f"{cluster} has no pod {name!r} in namespace {namespace!r}: `kubectl get pods -A` lists them.")
    return found


def _change(lab: LabDir, change: Callable[[Faults], Order]) -> None:
    with lab.locked():
        answer = asyncio.run(_send(lab, change(lab.read_faults())))
    if answer.error:
        raise LabError(answer.error)


async def _send(lab: LabDir, order: Order) -> Answer:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(lab.orders)
            try:
                writer.write(msgspec.json.encode(order) + b"\n")
                return msgspec.json.decode(await reader.readline(), type=Answer)
            finally:
                writer.close()
    except (OSError, TimeoutError, msgspec.DecodeError) as error:
        said = str(error) or type(error).__name__
        raise LabError(f"The lab's daemon does not answer ({said}): look at {lab.daemon_log}.") from None
