"""Garbage collection: objects go when the last of their owners is gone, in the order that the deletion asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from isthmus.lab.client import Client, ConflictError, NotFoundError, Object, Resource
from isthmus.lab.controllers import objects
from isthmus.lab.controllers.inventory import Inventory, Item, owners
from isthmus.lab.reconcile import Reconciler
from isthmus.lab.watch import Change

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
BY_FINALIZER: Final = {FOREGROUND: "Foreground", ORPHAN: "Orphan"}


@dataclass(frozen=True, slots=True)
class Owners:
    """The owner references of an object, by what has become of the owner."""

    solid: tuple[Mapping[str, Any], ...]
    """Owners that live, or end without waiting for what they own."""
    waiting: tuple[Mapping[str, Any], ...]
    """Owners that end and wait for this object to be gone first."""
    absent: tuple[Mapping[str, Any], ...]


class GarbageCollector:
    """Reconciles by object, of any kind."""

    def __init__(self, client: Client, inventory: Inventory) -> None:
        self._client = client
        self._inventory = inventory
        self.reconciler: Reconciler[Item] = Reconciler("garbage collection of", self.reconcile)
        inventory.subscribe(self._changed)

    def _changed(self, resource: Resource, change: Change) -> None:
        item = change.latest
        if change.new is None:
            for dependent in self._inventory.dependents(objects.uid(item)):
                self.reconciler.enqueue(dependent)
            for uid in owners(item):
                owner = self._inventory.by_uid(uid)
                found = self._inventory.item_of(uid)
                if owner is not None and found is not None and objects.deleting(owner):
                    self.reconciler.enqueue(found)
        elif owners(item) or (objects.deleting(item) and _propagation(item)):
            self.reconciler.enqueue(Item(resource, change.key))

    async def reconcile(self, item: Item) -> None:
        found = self._inventory.get(item)
        if found is None:
            return
        if objects.deleting(found):
            await self._end(item, found)
        elif owners(found):
            await self._judge(item, found)

    async def _end(self, item: Item, found: Object) -> None:
        """Do what the deletion waits for: let dependents go their own way, or see them gone first."""
        dependents = self._inventory.dependents(objects.uid(found))
        finalizers = found["metadata"].get("finalizers") or ()
        if ORPHAN in finalizers:
            for dependent in dependents:
                await self._disown(dependent, {objects.uid(found)})
            await self._release(item, found, ORPHAN)
        elif FOREGROUND in finalizers:
            for dependent in dependents:
                self.reconciler.enqueue(dependent)
            if not any(self._blocks(dependent, objects.uid(found)) for dependent in dependents):
                await self._release(item, found, FOREGROUND)

    def _blocks(self, dependent: Item, uid: str) -> bool:
        found = self._inventory.get(dependent)
        references = found["metadata"].get("ownerReferences") or () if found is not None else ()
        return any(reference["uid"] == uid and reference.get("blockOwnerDeletion") for reference in references)

    async def _judge(self, item: Item, found: Object) -> None:
        state = await self._owners(item, found)
        if state.solid:
            if gone := {reference["uid"] for reference in (*state.absent, *state.waiting)}:
                await self._disown(item, gone)
            return
        propagation = _propagation(found) or "Background"
        if state.waiting and self._inventory.dependents(objects.uid(found)):
            propagation = "Foreground"
        try:
            await self._client.delete(
                item.resource, item.key[1], item.key[0], propagation=propagation, uid=objects.uid(found)
            )
        except (NotFoundError, ConflictError):
            return

    async def _owners(self, item: Item, found: Object) -> Owners:
        solid, waiting, absent = [], [], []
        for reference in found["metadata"]["ownerReferences"]:
            owner = self._inventory.by_uid(reference["uid"])
            if owner is None:
                owner = await self._look(reference, item.key[0])
            if owner is None:
                absent.append(reference)
            elif objects.deleting(owner) and FOREGROUND in (owner["metadata"].get("finalizers") or ()):
                waiting.append(reference)
            else:
                solid.append(reference)
        return Owners(tuple(solid), tuple(waiting), tuple(absent))

    async def _look(self, reference: Mapping[str, Any], namespace: str) -> Object | None:
        """The owner as the API server has it now: an owner we have not heard of may be too new, not gone.

        An owner of an unknown kind counts as present: better to keep an object than to delete it by mistake.
        """
        kind = self._inventory.resource_of(reference["apiVersion"], reference["kind"])
        if kind is None:
            return {"metadata": {}}
        owner = await self._client.find(kind.resource, reference["name"], namespace if kind.namespaced else "")
        return owner if owner is not None and objects.uid(owner) == reference["uid"] else None

    async def _disown(self, item: Item, uids: set[str]) -> None:
        found = self._inventory.get(item)
        if found is None:
            return
        kept = [entry for entry in found["metadata"].get("ownerReferences") or () if entry["uid"] not in uids]
        await self._patch(item, found, {"ownerReferences": kept or None})

    async def _release(self, item: Item, found: Object, finalizer: str) -> None:
        kept = [entry for entry in found["metadata"]["finalizers"] if entry != finalizer]
        await self._patch(item, found, {"finalizers": kept or None})

    async def _patch(self, item: Item, found: Object, change: Mapping[str, Any]) -> None:
        metadata = found["metadata"]
        guarded = {**change, "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        try:
            await self._client.patch(item.resource, item.key[1], {"metadata": guarded}, item.key[0])
        except NotFoundError:
            return


def _propagation(item: Object) -> str:
    for finalizer in item["metadata"].get("finalizers") or ():
        if finalizer in BY_FINALIZER:
            return BY_FINALIZER[finalizer]
    return ""
