"""Namespaces that are being deleted: everything in them goes first."""

import asyncio
from typing import Final

from isthmus.lab.caches import Caches
from isthmus.lab.client import EVENTS, NAMESPACES, ApiError, Client, NotFoundError, Object, Resource
from isthmus.lab.controllers import objects
from isthmus.lab.controllers.inventory import Inventory
from isthmus.lab.reconcile import Reconciler
from isthmus.lab.watch import Change, Key

FINALIZER: Final = "kubernetes"
LOOK_AGAIN: Final = 1.0
"""For what the watches may not have told: a kind defined a moment ago."""


class NamespaceEmptier:
    """Reconciles by namespace; hears of everything that vanishes from one that is being deleted."""

    def __init__(self, client: Client, caches: Caches, inventory: Inventory) -> None:
        self._client = client
        self._caches = caches
        self._inventory = inventory
        self.reconciler: Reconciler[Key] = Reconciler("emptying of namespace", self.reconcile)
        caches[NAMESPACES].subscribe(self._namespace_changed)
        inventory.subscribe(self._object_changed)

    def _namespace_changed(self, change: Change) -> None:
        if change.new is not None and objects.deleting(change.new):
            self.reconciler.enqueue(change.key)

    def _object_changed(self, _: Resource, change: Change) -> None:
        if change.new is None and change.key[0]:
            namespace = self._caches[NAMESPACES].get(change.key[0])
            if namespace is not None and objects.deleting(namespace):
                self.reconciler.enqueue(("", change.key[0]))

    async def reconcile(self, key: Key) -> float | None:
        namespace = self._caches[NAMESPACES].objects.get(key)
        if namespace is None or not objects.deleting(namespace):
            return None
        name = key[1]
        left = await asyncio.gather(*(self._empty(resource, name) for resource in self._inventory.namespaced()))
        if any(left):
            return LOOK_AGAIN
        await self._client.delete_all(EVENTS, name)
        await self._finish(namespace)
        return None

    async def _empty(self, resource: Resource, namespace: str) -> bool:
        """Ask for the end of all objects of a kind; whether some are still there."""
        try:
            found = (await self._client.list(resource, namespace, metadata_only=True)).items
            if any(not objects.deleting(item) for item in found):
                await self._client.delete_all(resource, namespace)
                found = (await self._client.list(resource, namespace, metadata_only=True)).items
        except NotFoundError:
            return False
        except ApiError as error:
            if error.code == 405:
                return False
            raise
        return bool(found)

    async def _finish(self, namespace: Object) -> None:
        kept = [entry for entry in namespace["spec"].get("finalizers") or () if entry != FINALIZER]
        emptied = {**namespace, "spec": {**namespace["spec"], "finalizers": kept}}
        try:
            await self._client.update(NAMESPACES, emptied, subresource="finalize")
        except NotFoundError:
            return
