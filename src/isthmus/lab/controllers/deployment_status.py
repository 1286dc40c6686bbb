"""What a Deployment says of itself: counts and the conditions that `kubectl rollout status` and `wait` read. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from isthmus.lab import stamps
from isthmus.lab.client import Object
from isthmus.lab.controllers import objects, rollouts

DEADLINE: Final = 600
"""Default progressDeadlineSeconds."""
TIMED_OUT: Final = "ProgressDeadlineExceeded"
FAILURE: Final = "ReplicaFailure"
COMPLETE: Final = "NewReplicaSetAvailable"


def status_of(
    deployment: Object, owned: Sequence[Object], newest: Object | None, now: datetime
) -> tuple[dict[str, Any], float | None]:
    """The status, and when it must be looked at again for the progress deadline."""
    spec, name = deployment["spec"], deployment["metadata"]["name"]
    bounds = rollouts.limits(spec)
    total, ready, available = (_sum(owned, field) for field in ("replicas", "readyReplicas", "availableReplicas"))
    updated = _sum([newest] if newest is not None else [], "replicas")
    counts = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": total,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": available,
        "unavailableReplicas": max(0, bounds.replicas - available),
    }
    stamp = stamps.written(now)
    current = (deployment.get("status") or {}).get("conditions") or ()
    conditions = objects.conditions_with(current, _available(available >= bounds.least_available), stamp)
    done = updated == total == bounds.replicas and available >= bounds.replicas
    moved = any((deployment.get("status") or {}).get(field) != counts[field] for field in counts)
    progress, wait = _progress(deployment, newest, name, done=done, moved=moved, now=now)
    conditions = objects.conditions_with(conditions, progress, stamp)
    if moved and not done:
        conditions = [
            {**found, "lastUpdateTime": stamp} if found["type"] == "Progressing" else found for found in conditions
        ]
    return {**counts, "conditions": [*_others(conditions), *_failures(newest)]}, wait


def _others(conditions: Sequence[Object]) -> list[Object]:
    return [found for found in conditions if found["type"] != FAILURE]


def _failures(newest: Object | None) -> list[Object]:
    """Why pods cannot be made, as the newest ReplicaSet says."""
    found = objects.condition(newest, FAILURE) if newest is not None else None
    return [dict(found)] if found is not None else []


def _sum(replica_sets: Sequence[Object], field: str) -> int:
    return sum(int((item.get("status") or {}).get(field, 0)) for item in replica_sets)


def _available(enough: bool) -> Object:
    if enough:
        return _condition("Available", True, "MinimumReplicasAvailable", "Deployment has minimum availability.")
    return _condition(
        "Available", False, "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
    )


def _progress(
    deployment: Object, newest: Object | None, name: str, *, done: bool, moved: bool, now: datetime
) -> tuple[Object, float | None]:
    spec = deployment["spec"]
    shown = newest["metadata"]["name"] if newest is not None else name
    if spec.get("paused"):
        return _condition("Progressing", None, "DeploymentPaused", "Deployment is paused"), None
    if done:
        text = f'ReplicaSet "{shown}" has successfully progressed.'
        return _condition("Progressing", True, COMPLETE, text), None
    before = objects.condition(deployment, "Progressing")
    deadline = float(spec.get("progressDeadlineSeconds", DEADLINE))
    if before is not None and not moved and before["reason"] != COMPLETE:
        waited = (now - stamps.read(before["lastUpdateTime"])).total_seconds()
        if before["reason"] == TIMED_OUT or waited >= deadline:
            text = f'ReplicaSet "{shown}" has timed out progressing.'
            return _condition("Progressing", False, TIMED_OUT, text), None
        deadline -= waited
    return _condition("Progressing", True, "ReplicaSetUpdated", f'ReplicaSet "{shown}" is progressing.'), deadline + 1


def _condition(kind: str, status: bool | None, reason: str, message: str) -> Object:
    shown = "Unknown" if status is None else str(status)
    return {"type": kind, "status": shown, "reason": reason, "message": message}
