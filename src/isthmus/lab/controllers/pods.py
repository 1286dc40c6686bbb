"""What every workload controller does to pods: make them from a template, end the least useful, count them."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from isthmus.lab.client import PODS, ApiError, Client, NotFoundError, Object
from isthmus.lab.controllers import objects
from isthmus.lab.node.events import Recorder
from isthmus.lab.watch import Watch

FAILED: Final = "FailedCreate"
AT_ONCE: Final = 16
"""Creations and deletions under way at the same time, per workload."""


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


def from_template(template: Mapping[str, Any], *, namespace: str, name: str, owner: Object) -> Object:
    """A pod as its template says. A `name` that ends with a dash is completed by the API server."""
    metadata = template.get("metadata") or {}
    named = {"generateName": name} if name.endswith("-") else {"name": name}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **named,
            "namespace": namespace,
            "labels": dict(metadata.get("labels") or {}),
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [owner],
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


async def create(client: Client, watch: Watch, pods: Iterable[Object], *, owner: Object, recorder: Recorder) -> None:
    """Create pods, a few at a time; each is in the cache when this returns. Their owner's events tell of refusals."""
    limit = asyncio.Semaphore(AT_ONCE)
    component = _controller(owner)

    async def one(pod: Object) -> None:
        async with limit:
            try:
                made = await client.create(PODS, pod)
            except ApiError as error:
                recorder.record(owner, FAILED, f"Error creating: {error}", warning=True, component=component)
                raise
        watch.observe(made)
        recorder.record(owner, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}", component=component)

    await _all(one(pod) for pod in pods)


async def delete(client: Client, watch: Watch, pods: Iterable[Object], *, owner: Object, recorder: Recorder) -> None:
    """Ask for the end of pods, a few at a time; each shows as ending in the cache when this returns."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(pod: Object) -> None:
        metadata = pod["metadata"]
        async with limit:
            try:
                answer = await client.delete(PODS, metadata["name"], metadata["namespace"], uid=metadata["uid"])
            except NotFoundError:
                return
        if answer.get("kind") == "Pod" and objects.deleting(answer):
            watch.observe(answer)
        text = f"Deleted pod: {metadata['name']}"
        recorder.record(owner, "SuccessfulDelete", text, component=_controller(owner))

    await _all(one(pod) for pod in pods)


def _controller(owner: Object) -> str:
    return f"{str(owner.get('kind', 'workload')).lower()}-controller"


async def _all(work: Iterable[Any]) -> None:
    """Do everything, then raise the first thing that went wrong: one failure must not stop the rest."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
