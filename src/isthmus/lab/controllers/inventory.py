"""The metadata of every object in the cluster, of every kind there is, also of kinds that are defined later."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from isthmus.lab.caches import Caches
from isthmus.lab.client import ApiError, Client, Object, Resource
from isthmus.lab.watch import Change, Key, Watch

log = logging.getLogger(__name__)

DEFINITIONS: Final = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
UNOWNED: Final = frozenset({"events"})
"""Many, short-lived, and nobody's dependents."""
VERBS: Final = frozenset({"list", "watch", "delete"})
RETRY: Final = 1.0
SETTLE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object that can be listed, watched and deleted."""

    resource: Resource
    kind: str
    namespaced: bool


@dataclass(frozen=True, slots=True)
class Item:
    """An object of any kind, by where it lives."""

    resource: Resource
    key: Key


Listener = Callable[[Resource, Change], None]


class Inventory:
    """Follows discovery and watches what it finds, or listens to the watch that `caches` have of it already.

    Listeners hear of every change of every object's metadata.
    """

    def __init__(self, client: Client, caches: Caches) -> None:
        self._client = client
        self._caches = caches
        self.kinds: dict[Resource, Kind] = {}
        self._watches: dict[Resource, Watch] = {}
        self._tasks: dict[Resource, asyncio.Task[None]] = {}
        self._listeners: list[Listener] = []
        self._by_uid: dict[str, Item] = {}
        self._dependents: dict[str, dict[Item, None]] = defaultdict(dict)
        self._stale = asyncio.Event()
        self._stale.set()

    def subscribe(self, listener: Listener) -> None:
        """Must come before `run`."""
        self._listeners.append(listener)

    def get(self, item: Item) -> Object | None:
        watch = self._watches.get(item.resource)
        return watch.objects.get(item.key) if watch is not None else None

    def by_uid(self, uid: str) -> Object | None:
        item = self._by_uid.get(uid)
        return self.get(item) if item is not None else None

    def item_of(self, uid: str) -> Item | None:
        """Where the object with this uid lives."""
        return self._by_uid.get(uid)

    def dependents(self, uid: str) -> list[Item]:
        """The objects that name this one among their owners."""
        return list(self._dependents.get(uid, ()))

    def resource_of(self, api_version: str, kind: str) -> Kind | None:
        group = api_version.rpartition("/")[0]
        return next(
            (known for known in self.kinds.values() if (known.resource.group, known.kind) == (group, kind)), None
        )

    def namespaced(self) -> list[Resource]:
        """Every kind that lives in namespaces."""
        return [kind.resource for kind in self.kinds.values() if kind.namespaced]

    def in_namespace(self, namespace: str) -> Iterator[Item]:
        for resource in self.namespaced():
            watch = self._watches.get(resource)
            for key in watch.objects if watch is not None else ():
                if key[0] == namespace:
                    yield Item(resource, key)

    async def run(self) -> None:
        """Watch everything until cancelled; look for new kinds when definitions change."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._stale.wait()
                await asyncio.sleep(SETTLE)
                self._stale.clear()
                try:
                    found = {kind.resource: kind for kind in await discover(self._client)}
                except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                    log.debug("discovery: %s", error)
                    self._stale.set()
                    await asyncio.sleep(RETRY)
                    continue
                await self._follow(group, found)

    async def _follow(self, group: asyncio.TaskGroup, found: dict[Resource, Kind]) -> None:
        for resource in self._watches.keys() - found.keys():
            self._tasks.pop(resource).cancel()
            watch = self._watches.pop(resource)
            for key, item in list(watch.objects.items()):
                self._changed(resource, Change(key, item, None))
        self.kinds = found
        for resource in found.keys() - self._watches.keys():
            shared = self._caches.watches.get(resource)
            watch = self._watches[resource] = shared or Watch(self._client, resource, metadata_only=True)
            watch.subscribe(lambda change, resource=resource: self._changed(resource, change))  # type: ignore[misc]
            if shared is None:
                self._tasks[resource] = group.create_task(watch.run())

    def _changed(self, resource: Resource, change: Change) -> None:
        item = Item(resource, change.key)
        if change.old is not None:
            for uid in owners(change.old):
                self._dependents[uid].pop(item, None)
                if not self._dependents[uid]:
                    del self._dependents[uid]
            if self._by_uid.get(change.old["metadata"]["uid"]) == item:
                del self._by_uid[change.old["metadata"]["uid"]]
        if change.new is not None:
            for uid in owners(change.new):
                self._dependents[uid][item] = None
            self._by_uid[change.new["metadata"]["uid"]] = item
        if resource == DEFINITIONS:
            self._stale.set()
        for listener in self._listeners:
            listener(resource, change)


def owners(item: Object) -> list[str]:
    return [reference["uid"] for reference in item["metadata"].get("ownerReferences") or ()]


async def discover(client: Client) -> list[Kind]:
    """Every kind the API server has, in its preferred version."""
    groups = (await client.raw("/apis")).get("groups") or ()
    versions = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    answers = await asyncio.gather(*(client.raw(path) for path in versions))
    return [kind for answer in answers for entry in answer.get("resources") or () for kind in _kind(answer, entry)]


def _kind(answer: Object, entry: dict[str, Any]) -> Iterator[Kind]:
    if "/" in entry["name"] or entry["name"] in UNOWNED or not set(entry["verbs"]) >= VERBS:
        return
    group, _, version = answer["groupVersion"].rpartition("/")
    yield Kind(Resource(group, version, entry["name"]), entry["kind"], entry["namespaced"])
