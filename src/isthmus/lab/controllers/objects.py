"""What the controllers ask of Kubernetes objects, as pure functions of their JSON."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from isthmus.lab import stamps
from isthmus.lab.client import Object

HASH_LABEL: Final = "pod-template-hash"
HASH_LENGTH: Final = 10


def uid(item: Object) -> str:
    return str(item["metadata"]["uid"])


def labels(item: Object) -> dict[str, str]:
    return item["metadata"].get("labels") or {}


def annotations(item: Object) -> dict[str, str]:
    return item["metadata"].get("annotations") or {}


def deleting(item: Object) -> bool:
    return bool(item["metadata"].get("deletionTimestamp"))


def controller_of(item: Object) -> Mapping[str, Any] | None:
    """The owner reference that controls an object."""
    for reference in item["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            found: Mapping[str, Any] = reference
            return found
    return None


def owner_reference(owner: Object, *, kind: str, api_version: str) -> Object:
    """The reference that makes `owner` the controller of an object."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": owner["metadata"]["name"],
        "uid": uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition(item: Object, kind: str) -> Mapping[str, Any] | None:
    for found in item.get("status", {}).get("conditions") or ():
        if found["type"] == kind:
            result: Mapping[str, Any] = found
            return result
    return None


def is_true(item: Object, kind: str) -> bool:
    found = condition(item, kind)
    return found is not None and found["status"] == "True"


def living(node: Object) -> bool:
    """Whether a node is ready, as far as is known."""
    return is_true(node, "Ready")


def pod_active(pod: Object) -> bool:
    """Whether a pod counts towards the replicas its controller wants."""
    return not deleting(pod) and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")


def pod_ready(pod: Object) -> bool:
    return is_true(pod, "Ready")


def seconds_until_available(pod: Object, min_ready_seconds: int, now: datetime) -> float | None:
    """0 for an available pod, the wait for a ready one that must still prove itself, None for one not ready."""
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return None
    if not min_ready_seconds or not found.get("lastTransitionTime"):
        return 0.0
    since = stamps.read(found["lastTransitionTime"])
    return max(0.0, min_ready_seconds - (now - since).total_seconds())


def conditions_with(current: Iterable[Mapping[str, Any]], new: Mapping[str, Any], now: str) -> list[Object]:
    """The conditions with one set. Times change only when the condition does."""
    kept = [dict(found) for found in current]
    for index, found in enumerate(kept):
        if found["type"] != new["type"]:
            continue
        if all(found.get(field) == new.get(field) for field in ("status", "reason", "message")):
            return kept
        turned = found["status"] != new["status"]
        kept[index] = {
            **new,
            "lastUpdateTime": now,
            "lastTransitionTime": now if turned else found.get("lastTransitionTime", now),
        }
        return kept
    return [*kept, {**new, "lastUpdateTime": now, "lastTransitionTime": now}]


def template_hash(template: Mapping[str, Any]) -> str:
    """A short name for a pod template: equal templates have equal hashes, on every run."""
    text = msgspec.json.encode(template, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:HASH_LENGTH]


def without_label(template: Mapping[str, Any], label: str) -> dict[str, Any]:
    """A pod template without one label."""
    metadata = dict(template.get("metadata") or {})
    kept = {key: value for key, value in (metadata.pop("labels", None) or {}).items() if key != label}
    if kept:
        metadata["labels"] = kept
    return {**template, "metadata": metadata}


def with_label(template: Mapping[str, Any], label: str, value: str) -> dict[str, Any]:
    """A pod template with one label more."""
    metadata = template.get("metadata") or {}
    return {**template, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), label: value}}}


def now() -> datetime:
    return datetime.now(UTC)
