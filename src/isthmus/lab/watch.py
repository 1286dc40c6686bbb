"""A local copy of one kind of object, kept current by list and watch."""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import aiohttp

from isthmus.lab.client import ApiError, Client, Event, GoneError, Object, Resource

log = logging.getLogger(__name__)

RETRY_FIRST: Final = 0.05
RETRY_MOST: Final = 2.0
WATCH_SECONDS: Final = (240, 480)
"""The server is asked to end each watch within this range: spread, so that watches do not all resume at once."""

Key = tuple[str, str]
"""Namespace ("" for cluster-wide objects) and name."""


def key_of(item: Object) -> Key:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one object: `old` None is an addition, `new` None a deletion."""

    key: Key
    old: Object | None
    new: Object | None

    @property
    def latest(self) -> Object:
        """The object as it is, or as it was last seen."""
        found = self.new if self.new is not None else self.old
        assert found is not None
        return found


Listener = Callable[[Change], None]


class Watch:
    """The objects of one kind. `run` keeps them current for ever; `synced` says when the first list is in.

    Listeners are called in the event loop, once per change and in order, after `objects` has it. A re-list (after the
    server has forgotten our version) reports what was deleted meanwhile as deletions, and a namesake made since as a
    deletion and an addition. Objects are shared: never change one in place.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
    ) -> None:
        self._client = client
        self.resource = resource
        self._namespace = namespace
        self._labels = label_selector
        self._fields = field_selector
        self._metadata_only = metadata_only
        self._version = ""
        self._listeners: list[Listener] = []
        self.objects: dict[Key, Object] = {}
        self.synced = asyncio.Event()

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self.objects.values()))

    def get(self, name: str, namespace: str = "") -> Object | None:
        return self.objects.get((namespace, name))

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` on every change from now on, and at once for every object already known."""
        self._listeners.append(listener)
        for key, item in list(self.objects.items()):
            listener(Change(key, None, item))

    def observe(self, item: Object) -> None:
        """Take in an answer to our own write at once, before the watch brings it, so that we see what we did."""
        if not self._version or number(_version(item)) > number(self._version):
            self._change(key_of(item), item)

    async def run(self) -> None:
        """Keep the copy current until cancelled; an unreachable server is asked again, less and less often."""
        delay = RETRY_FIRST
        while True:
            try:
                if not self._version:
                    await self._list()
                if await self._follow():
                    delay = RETRY_FIRST
                    continue
            except GoneError:
                self._version = ""
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                log.debug("watching %s: %s", self.resource, error or type(error).__name__)
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311
            delay = min(delay * 2, RETRY_MOST)

    async def _list(self) -> None:
        found = await self._client.list(
            self.resource,
            self._namespace,
            label_selector=self._labels,
            field_selector=self._fields,
            metadata_only=self._metadata_only,
        )
        current = {key_of(item): item for item in found.items}
        for key in [key for key in self.objects if key not in current]:
            self._change(key, None)
        for key, item in current.items():
            self._change(key, item)
        self._version = found.resource_version
        self.synced.set()

    async def _follow(self) -> bool:
        """Apply events until the watch ends; whether it brought any."""
        lively = False
        events = self._client.watch(
            self.resource,
            self._namespace,
            resource_version=self._version,
            label_selector=self._labels,
            field_selector=self._fields,
            metadata_only=self._metadata_only,
            timeout=random.randint(*WATCH_SECONDS),  # noqa: S311
        )
        async with aclosing(events) as stream:  # type: ignore[type-var]
            async for event in stream:
                self._apply(event)
                lively = True
        return lively

    def _apply(self, event: Event) -> None:
        if event.type != "BOOKMARK":
            self._change(key_of(event.object), None if event.type == "DELETED" else event.object)
        self._version = event.object["metadata"].get("resourceVersion", self._version)

    def _change(self, key: Key, new: Object | None) -> None:
        old = self.objects.get(key)
        if new is None:
            if old is None:
                return
            del self.objects[key]
        elif old is not None and _uid(old) != _uid(new):
            self._change(key, None)
            self._change(key, new)
            return
        elif old is not None and number(_version(old)) >= number(_version(new)):
            return
        else:
            self.objects[key] = new
        change = Change(key, old, new)
        for listener in self._listeners:
            listener(change)


class Index:
    """Keys of one watch's objects, grouped by a function of the object. Always as current as the watch."""

    def __init__(self, watch: Watch, group: Callable[[Object], Iterable[str]]) -> None:
        self._watch = watch
        self._group = group
        self._members: dict[str, dict[Key, None]] = defaultdict(dict)
        watch.subscribe(self._changed)

    def __getitem__(self, group: str) -> list[Object]:
        """The objects of a group, oldest known first."""
        return [self._watch.objects[key] for key in self._members.get(group, ())]

    def _changed(self, change: Change) -> None:
        before = set(self._group(change.old)) if change.old is not None else set()
        after = set(self._group(change.new)) if change.new is not None else set()
        for group in before - after:
            self._members[group].pop(change.key, None)
            if not self._members[group]:
                del self._members[group]
        for group in after - before:
            self._members[group][change.key] = None


def _uid(item: Object) -> str:
    return str(item["metadata"].get("uid", ""))


def _version(item: Object) -> str:
    return str(item["metadata"].get("resourceVersion", ""))


def number(version: str) -> int:
    """Resource versions as this lab's API server counts them; they only ever grow."""
    return int(version) if version.isdigit() else 0
