"""The watches that all parts of a node process share, one per kind, and the indexes they look things up by."""

import asyncio
from collections.abc import Iterable

from isthmus.lab.client import Client, Object, Resource
from isthmus.lab.controllers.objects import controller_of
from isthmus.lab.watch import Index, Watch


class Caches:
    """One watch per kind. `run` keeps them all current."""

    def __init__(self, client: Client, resources: Iterable[Resource]) -> None:
        self.watches = {resource: Watch(client, resource) for resource in resources}
        self._owned: dict[Resource, Index] = {}
        self._in_namespace: dict[Resource, Index] = {}

    def __getitem__(self, resource: Resource) -> Watch:
        return self.watches[resource]

    def owned(self, resource: Resource, owner_uid: str) -> list[Object]:
        """Objects of a kind that an owner controls."""
        if resource not in self._owned:
            self._owned[resource] = Index(self.watches[resource], _controller_uid)
        return self._owned[resource][owner_uid]

    def in_namespace(self, resource: Resource, namespace: str) -> list[Object]:
        if resource not in self._in_namespace:
            self._in_namespace[resource] = Index(self.watches[resource], _namespace)
        return self._in_namespace[resource][namespace]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for watch in self.watches.values():
                group.create_task(watch.run())

    async def synced(self, *resources: Resource) -> None:
        """Wait until these have their first lists, or all have."""
        for resource in resources or self.watches:
            await self.watches[resource].synced.wait()


def _controller_uid(item: Object) -> Iterable[str]:
    reference = controller_of(item)
    return (str(reference["uid"]),) if reference is not None else ()


def _namespace(item: Object) -> Iterable[str]:
    return (item["metadata"].get("namespace", ""),)
