"""Which taints a node has by its state, who tolerates them, and who must leave when. Pure: no I/O, no clock."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from math import inf
from typing import Any, Final

from isthmus.lab import stamps
from isthmus.lab.client import Object
from isthmus.lab.controllers import objects

NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
OWN: Final = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE})
TOLERATED_SECONDS: Final = 5.0
"""How long a pod that says nothing of it stays on a node that is lost. Kubernetes waits 300 s."""

Taint = Mapping[str, Any]


def of(node: Object) -> list[Taint]:
    """A node's taints as they are."""
    return node["spec"].get("taints") or []


def wanted(node: Object, now: str) -> list[Taint]:
    """The taints that a node should have: people's own, and what follows from its state."""
    due = [(UNSCHEDULABLE, "NoSchedule")] if node["spec"].get("unschedulable") else []
    ready = objects.condition(node, "Ready")
    if ready is not None and ready["status"] != "True":
        key = UNREACHABLE if ready["status"] == "Unknown" else NOT_READY
        due += [(key, "NoSchedule"), (key, "NoExecute")]
    known = {(taint["key"], taint["effect"]): taint for taint in of(node)}
    others = [taint for taint in of(node) if taint["key"] not in OWN]
    return others + [known.get(one) or {"key": one[0], "effect": one[1], "timeAdded": now} for one in due]


def tolerated(taint: Taint, tolerations: Iterable[Mapping[str, Any]]) -> bool:
    return any(_tolerates(one, taint) for one in tolerations)


def _tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    exists = toleration.get("operator") == "Exists"
    return exists or (bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or ""))


def seconds_left(pod: Object, taints: Iterable[Taint], now: datetime) -> float:
    """How long a pod may stay on a node with these taints; 0 or less: it must go; infinite: as long as it likes."""
    return min((_left(pod, taint, now) for taint in taints if taint["effect"] == "NoExecute"), default=inf)


def _left(pod: Object, taint: Taint, now: datetime) -> float:
    matching = [one for one in pod["spec"].get("tolerations") or () if _tolerates(one, taint)]
    if not matching:
        if taint["key"] not in (NOT_READY, UNREACHABLE):
            return 0.0
        matching = [{"tolerationSeconds": TOLERATED_SECONDS}]
    allowed = min(inf if one.get("tolerationSeconds") is None else one["tolerationSeconds"] for one in matching)
    since = stamps.read(taint["timeAdded"]) if taint.get("timeAdded") else now
    return float(allowed - (now - since).total_seconds())
