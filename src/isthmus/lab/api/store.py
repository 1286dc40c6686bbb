"""Objects, their one revision counter, and the events that tell watchers about them.

Everything here is synchronous and belongs to one event loop: a call is atomic because nothing else runs meanwhile. What
goes in and what comes out is shared and never changed in place; a change is a new dictionary.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from isthmus.lab.api.contracts import Object

Kind = tuple[str, str]
"""Group and plural. All versions of a resource share one kind, as they share one storage."""
Key = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""
EventType = Literal["ADDED", "MODIFIED", "DELETED"]

LOG_LENGTH: Final = 2000
"""Events per kind that a watch can resume over; older than that is 410 Expired."""
QUEUE_LENGTH: Final = 8192
"""Events a slow watcher may fall behind before it is cut off and has to list again."""


class Expired(Exception):
    """The events a watch wants to resume from are gone."""


class Exists(Exception):
    """There is already an object of that name."""


class Missing(Exception):
    """There is no object of that name."""


@dataclass(frozen=True, eq=False)
class Event:
    type: EventType
    revision: int
    key: Key
    obj: Object
    old: Object | None
    """What the object was before, for selectors that it enters or leaves."""
    encoded: dict[str, bytes] = field(default_factory=dict)
    """The event as a watch line, by API version: encoded once for all watchers."""


class Watcher:
    """One bounded queue of events. Use as a context manager, so that it never outlives its reader."""

    def __init__(self, store: "Store", kind: Kind) -> None:
        self._store = store
        self._kind = kind
        self._events: deque[Event] = deque()
        self._ready = asyncio.Event()
        self.overflowed = False

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *exc: object) -> None:
        self._store.forget(self._kind, self)

    def offer(self, event: Event) -> None:
        if len(self._events) >= QUEUE_LENGTH:
            self.overflowed = True
        else:
            self._events.append(event)
        self._ready.set()

    def wake(self) -> None:
        self._ready.set()

    async def next(self, timeout: float) -> list[Event]:
        """Everything that has happened since the last call; an empty list when nothing did in `timeout` seconds."""
        if not self._events and not self.overflowed:
            try:
                async with asyncio.timeout(timeout):
                    await self._ready.wait()
            except TimeoutError:
                return []
        self._ready.clear()
        events = list(self._events)
        self._events.clear()
        return events


class Store:
    """The cluster's objects in memory. `record` is told of every event before it is true, and may refuse by raising.

    A store that begins empty must count on from a `revision` that none before it has reached: watchers of that one
    then learn that they are too old, and list again.
    """

    def __init__(self, revision: int = 1) -> None:
        self.revision = revision
        self._first = revision
        self._objects: dict[Kind, dict[Key, Object]] = {}
        self._logs: dict[Kind, deque[Event]] = {}
        self._trimmed: dict[Kind, int] = {}
        self._watchers: dict[Kind, set[Watcher]] = {}
        self.record: Callable[[Kind, Event], None] = _forget

    def get(self, group: str, resource: str, namespace: str | None, name: str) -> Object | None:
        return self._objects.get((group, resource), {}).get((namespace or "", name))

    def list_at(self, group: str, resource: str, namespace: str | None, revision: int) -> list[Object]:
        """What `list` was at a revision, by taking back what has happened since; raises `Expired`."""
        if revision == self.revision:
            return self.list(group, resource, namespace)
        kind = (group, resource)
        self._check_remembered(kind, revision)
        objects = dict(self._objects.get(kind, {}))
        for event in reversed(self._logs.get(kind, ())):
            if event.revision <= revision:
                break
            if event.old is None:
                del objects[event.key]
            else:
                objects[event.key] = event.old
        return [objects[key] for key in sorted(objects) if not namespace or key[0] == namespace]

    def list(self, group: str, resource: str, namespace: str | None = None) -> list[Object]:
        """All objects of a kind, or those of one namespace, in the order of namespace and name."""
        objects = self._objects.get((group, resource), {})
        if namespace:
            return [objects[key] for key in sorted(key for key in objects if key[0] == namespace)]
        return [objects[key] for key in sorted(objects)]

    def kinds(self) -> Iterator[Kind]:
        """The kinds that have, or have had, objects."""
        return iter(list(self._objects))

    def create(self, group: str, resource: str, obj: Object) -> Object:
        """Store a new object under the next revision; raises `Exists`."""
        key = key_of(obj)
        if key in self._objects.get((group, resource), {}):
            raise Exists(key)
        return self._commit("ADDED", (group, resource), key, obj, None)

    def update(self, group: str, resource: str, obj: Object) -> Object:
        """Replace an object under the next revision; raises `Missing`."""
        key = key_of(obj)
        old = self._objects.get((group, resource), {}).get(key)
        if old is None:
            raise Missing(key)
        return self._commit("MODIFIED", (group, resource), key, obj, old)

    def remove(self, group: str, resource: str, namespace: str | None, name: str) -> Object:
        """Take an object out; the returned last state carries the revision of its removal. Raises `Missing`."""
        key = (namespace or "", name)
        old = self._objects.get((group, resource), {}).get(key)
        if old is None:
            raise Missing(key)
        return self._commit("DELETED", (group, resource), key, old, old)

    def take(self, kind: Kind, event: Event) -> None:
        """Make an event true, and tell whoever watches."""
        self.revision = event.revision
        objects = self._objects.setdefault(kind, {})
        if event.type == "DELETED":
            del objects[event.key]
        else:
            objects[event.key] = event.obj
        log = self._logs.setdefault(kind, deque())
        log.append(event)
        if len(log) > LOG_LENGTH:
            self._trimmed[kind] = log.popleft().revision
        for watcher in self._watchers.get(kind, ()):
            watcher.offer(event)

    def begin(self, revision: int) -> None:
        """Count on from a revision, as the first one that a watch can resume from."""
        self.revision = self._first = revision

    def restore(self, kind: Kind, obj: Object) -> None:
        """Have an object as it was stored before, without an event."""
        self._objects.setdefault(kind, {})[key_of(obj)] = obj

    def watch(self, group: str, resource: str, since: int | None) -> Watcher:
        """Events after revision `since`, or from now on when it is None; raises `Expired`."""
        kind = (group, resource)
        watcher = Watcher(self, kind)
        if since is not None:
            self._check_remembered(kind, since)
            for event in self._logs.get(kind, ()):
                if event.revision > since:
                    watcher.offer(event)
        self._watchers.setdefault(kind, set()).add(watcher)
        return watcher

    def _check_remembered(self, kind: Kind, revision: int) -> None:
        oldest = max(self._first, self._trimmed.get(kind, 0))
        if not oldest <= revision <= self.revision:
            raise Expired(f"too old resource version: {revision} ({oldest + 1})")

    def watchers(self, group: str, resource: str) -> int:
        """How many watches of a kind there are."""
        return len(self._watchers.get((group, resource), ()))

    def forget(self, kind: Kind, watcher: Watcher) -> None:
        self._watchers.get(kind, set()).discard(watcher)

    def forget_before(self, group: str, resource: str, revision: int) -> None:
        """Drop the events before a revision, as compaction does: watches from before it are refused."""
        log = self._logs.get((group, resource), deque())
        while log and log[0].revision < revision:
            self._trimmed[group, resource] = log.popleft().revision

    def wake_all(self) -> None:
        """Make every watcher return from `next`, for a server that is stopping."""
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.wake()

    def _commit(self, kind_of_event: EventType, kind: Kind, key: Key, obj: Object, old: Object | None) -> Object:
        """The object under the next revision. What cannot be recorded does not happen."""
        revision = self.revision + 1
        stored = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(revision)}}
        event = Event(kind_of_event, revision, key, stored, old)
        self.record(kind, event)
        self.take(kind, event)
        return stored


def _forget(_kind: Kind, _event: Event) -> None:
    """For a store that lives as long as its process."""


def key_of(obj: Object) -> Key:
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]
