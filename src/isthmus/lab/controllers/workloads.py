"""What the workload controllers share: finding and adopting what is theirs, making and ending pods, telling status."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from isthmus.lab.caches import Caches
from isthmus.lab.client import PODS, ApiError, Client, NotFoundError, Object, Resource
from isthmus.lab.controllers import objects
from isthmus.lab.labels import selects
from isthmus.lab.node.events import Recorder
from isthmus.lab.reconcile import Reconciler
from isthmus.lab.watch import Change, Key

FAILED: Final = "FailedCreate"
AT_ONCE: Final = 16
"""Creations and deletions under way at the same time, per workload."""


class Workloads(ABC):
    """The controller of one kind of workload."""

    kind: ClassVar[str]
    resource: ClassVar[Resource]
    dependents: ClassVar[Resource] = PODS
    """What these workloads make."""

    def __init__(self, client: Client, caches: Caches, recorder: Recorder) -> None:
        self.client = client
        self.caches = caches
        self.recorder = recorder

    @abstractmethod
    async def reconcile(self, key: Key) -> float | None:
        """Bring one workload closer to what it should be; when to look again."""

    def reconciler(self) -> Reconciler[Key]:
        """Runs `reconcile` when a workload changes, or an object that it controls."""
        reconciler: Reconciler[Key] = Reconciler(self.kind, self.reconcile)
        self.caches[self.resource].subscribe(lambda change: reconciler.enqueue(change.key))

        def dependent_changed(change: Change) -> None:
            for item in (change.old, change.new):
                reference = objects.controller_of(item) if item is not None else None
                if reference is not None and reference["kind"] == self.kind:
                    reconciler.enqueue((change.key[0], reference["name"]))

        self.caches[self.dependents].subscribe(dependent_changed)
        return reconciler

    def find(self, key: Key) -> Object | None:
        return self.caches[self.resource].objects.get(key)

    def owned(self, owner: Object) -> list[Object]:
        """What an owner controls."""
        return self.caches.owned(self.dependents, objects.uid(owner))

    async def own(self, owner: Object) -> list[Object]:
        """What an owner controls, after it has adopted orphans that its selector matches."""
        if not objects.deleting(owner):
            api_version = f"{self.resource.group}/{self.resource.version}"
            reference = objects.owner_reference(owner, kind=self.kind, api_version=api_version)
            for orphan in _orphans(self.caches, owner, self.dependents):
                await self._adopt(orphan, reference)
        return self.owned(owner)

    async def _adopt(self, orphan: Object, reference: Object) -> None:
        metadata = orphan["metadata"]
        change = {
            "metadata": {
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "ownerReferences": [*(metadata.get("ownerReferences") or ()), reference],
            }
        }
        await self.patch(self.dependents, orphan, change)

    async def patch(self, resource: Resource, item: Object, change: Object, *, subresource: str = "") -> Object:
        """Change an object, here and in the cache."""
        metadata = item["metadata"]
        answer = await self.client.patch(
            resource, metadata["name"], change, metadata["namespace"], subresource=subresource
        )
        self.caches[resource].observe(answer)
        return answer

    async def write_status(self, item: Object, status: Mapping[str, Any]) -> None:
        """Set fields of a workload's status, with no request when they are so already."""
        metadata = item["metadata"]
        current = (self.find((metadata["namespace"], metadata["name"])) or item).get("status") or {}
        changed = {field: value for field, value in status.items() if current.get(field) != value}
        if not changed:
            return
        try:
            change = {"metadata": {"uid": metadata["uid"]}, "status": changed}
            await self.patch(self.resource, item, change, subresource="status")
        except NotFoundError:
            return

    async def create(self, owner: Object, pods: Iterable[Object]) -> None:
        """Create pods, a few at a time; each is in the cache when this returns. Events of `owner` tell of refusals."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(pod: Object) -> None:
            async with limit:
                try:
                    made = await self.client.create(PODS, pod)
                except ApiError as error:
                    self.tell(owner, FAILED, f"Error creating: {error}", warning=True)
                    raise
            self.caches[PODS].observe(made)
            self.tell(owner, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

        await _all(one(pod) for pod in pods)

    async def delete(self, owner: Object, pods: Iterable[Object]) -> None:
        """Ask for the end of pods, a few at a time; each shows as ending in the cache when this returns."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(pod: Object) -> None:
            metadata = pod["metadata"]
            async with limit:
                try:
                    answer = await self.client.delete(
                        PODS, metadata["name"], metadata["namespace"], uid=metadata["uid"]
                    )
                except NotFoundError:
                    return
            if answer.get("kind") == "Pod" and objects.deleting(answer):
                self.caches[PODS].observe(answer)
            self.tell(owner, "SuccessfulDelete", f"Deleted pod: {metadata['name']}")

        await _all(one(pod) for pod in pods)

    def tell(self, owner: Object, reason: str, text: str, *, warning: bool = False) -> None:
        """An event of a workload."""
        self.recorder.record(owner, reason, text, warning=warning, component=f"{self.kind.lower()}-controller")


def _orphans(caches: Caches, owner: Object, resource: Resource) -> list[Object]:
    selector = owner["spec"].get("selector") or {}
    if not (selector.get("matchLabels") or selector.get("matchExpressions")):
        return []
    return [
        item
        for item in caches.in_namespace(resource, owner["metadata"]["namespace"])
        if objects.controller_of(item) is None
        and not objects.deleting(item)
        and selects(selector, objects.labels(item))
    ]


async def _all(work: Iterable[Any]) -> None:
    """Do everything, then raise the first thing that went wrong: one failure must not stop the rest."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
