"""The pods of a workload: made from its template, counted, and in the order in which they are given up."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from isthmus.lab.client import Object
from isthmus.lab.controllers import objects


@dataclass(frozen=True, slots=True)
class Counts:
    """How the pods of a workload are doing; `wait` is when the next ready one becomes available, if one does."""

    replicas: int
    ready: int
    available: int
    wait: float | None


def count(pods: Iterable[Object], min_ready_seconds: int, now: datetime) -> Counts:
    active = [pod for pod in pods if objects.pod_active(pod)]
    waits = [objects.seconds_until_available(pod, min_ready_seconds, now) for pod in active]
    ready = [wait for wait in waits if wait is not None]
    pending = [wait for wait in ready if wait > 0]
    return Counts(len(active), len(ready), len(ready) - len(pending), min(pending, default=None))


def from_template(owner: Object, *, kind: str, api_version: str = "apps/v1", name: str = "") -> Object:
    """A pod as its owner's template says. Without a name the API server completes the owner's."""
    template = owner["spec"]["template"]
    metadata = template.get("metadata") or {}
    named = {"name": name} if name else {"generateName": f"{owner['metadata']['name']}-"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **named,
            "namespace": owner["metadata"]["namespace"],
            "labels": dict(metadata.get("labels") or {}),
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [objects.owner_reference(owner, kind=kind, api_version=api_version)],
        },
        "spec": dict(template["spec"]),
    }


def least_useful(pods: Iterable[Object]) -> list[Object]:
    """The order in which pods are given up: unscheduled, then not running, not ready, and the youngest first."""

    def usefulness(pod: Object) -> tuple[bool, bool, bool]:
        running = pod.get("status", {}).get("phase") == "Running"
        return (bool(pod["spec"].get("nodeName")), running, objects.pod_ready(pod))

    youngest_first = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)
    return sorted(youngest_first, key=usefulness)
