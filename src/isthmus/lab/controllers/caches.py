"""The watch caches that the controllers of one cluster share, and the indexes they look things up by."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from isthmus.lab import client as api
from isthmus.lab.client import Client, Object, Resource
from isthmus.lab.controllers.objects import controller_of
from isthmus.lab.watch import Index, Watch

WATCHED = (
    api.PODS,
    api.SERVICES,
    api.ENDPOINT_SLICES,
    api.DEPLOYMENTS,
    api.REPLICA_SETS,
    api.STATEFUL_SETS,
    api.DAEMON_SETS,
    api.JOBS,
    api.NODES,
    api.NAMESPACES,
    api.SECRETS,
    api.SERVICE_ACCOUNTS,
    api.CONFIG_MAPS,
)


@dataclass(slots=True)
class Caches:
    """One watch per kind. `run` keeps them all current."""

    client: Client
    watches: dict[Resource, Watch] = field(default_factory=dict)
    _owned: dict[Resource, Index] = field(default_factory=dict)
    _in_namespace: dict[Resource, Index] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for resource in WATCHED:
            self.watches[resource] = Watch(self.client, resource)

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

    async def synced(self) -> None:
        """Wait until every watch has its first list."""
        for watch in self.watches.values():
            await watch.synced.wait()


def _controller_uid(item: Object) -> Iterable[str]:
    reference = controller_of(item)
    return (str(reference["uid"]),) if reference is not None else ()


def _namespace(item: Object) -> Iterable[str]:
    return (item["metadata"].get("namespace", ""),)
