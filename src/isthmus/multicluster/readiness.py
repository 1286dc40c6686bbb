"""Which exported services of a linked cluster have a ready endpoint, and the hostnames of their endpoints.

Only the EndpointSlices of exported services are followed: a label selector names the services, some dozens in each
watch. So a storm of pods that are not exported costs this cluster nothing, and a thousand exported services cost a
score of watches. Addresses are dropped when decoding.
"""

import asyncio
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Final

from isthmus import names
from isthmus.kube import errors
from isthmus.kube.client import Client
from isthmus.kube.meta import Key
from isthmus.kube.watch import Informer, Signal
from isthmus.multicluster.objects import READY_SLICES, ReadySlice

BUCKET: Final = 50
"""Names in one watch: some 3 kB of selector at most, which every proxy on the way accepts in a URL."""


@dataclass(slots=True)
class _Watch:
    services: frozenset[str]
    informer: Informer[ReadySlice]
    task: "asyncio.Task[None]"


class Readiness:
    """Follows the slices of the services it is told; `changed` is set when any of them changes."""

    def __init__(self, client: Client, group: asyncio.TaskGroup, changed: Signal) -> None:
        self._client = client
        self._group = group
        self._changed = changed
        self._watches: list[_Watch] = []

    def follow(self, wanted: Set[str]) -> None:
        """Follow services of these names, in whatever namespace. Watches that need no change go on undisturbed."""
        missing = sorted(wanted - self._followed())
        for watch in list(self._watches):
            keep = watch.services & wanted
            room = BUCKET - len(keep)
            fresh, missing = missing[:room], missing[room:]
            if keep | set(fresh) != watch.services:
                self._replace(watch, keep | frozenset(fresh))
        while missing:
            self._watches.append(self._start(frozenset(missing[:BUCKET])))
            missing = missing[BUCKET:]

    def _followed(self) -> frozenset[str]:
        return frozenset[str]().union(*(watch.services for watch in self._watches))

    def _replace(self, watch: _Watch, services: frozenset[str]) -> None:
        watch.task.cancel()
        self._watches.remove(watch)
        if services:
            fresh = self._start(services)
            # Until the new list is there, what was known goes on counting.
            fresh.informer.store.update(watch.informer.store)
            self._watches.append(fresh)

    def _start(self, services: frozenset[str]) -> _Watch:
        selector = f"{names.SERVICE_NAME_LABEL} in ({','.join(sorted(services))})"
        informer = Informer(self._client, READY_SLICES, labels=selector)
        informer.on_change(self._changed.set)
        task = self._group.create_task(self._run(informer))
        return _Watch(services, informer, task)

    async def _run(self, informer: Informer[ReadySlice]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(informer.run())
            await informer.synced.wait()
            self._changed.set()

    @property
    def synced(self) -> bool:
        """Whether readiness of every followed service is known."""
        return all(watch.informer.synced.is_set() for watch in self._watches)

    @property
    def error(self) -> errors.KubeError | None:
        return next((watch.informer.error for watch in self._watches if watch.informer.error), None)

    def ready(self, service: Key) -> bool:
        """Whether the service has a ready endpoint; one that is not known yet counts as ready."""
        return any(
            any(item.ready for item in _slices(watch.informer.store, service)) or (not watch.informer.synced.is_set())
            for watch in self._watches
            if service[1] in watch.services
        )

    def hosts(self, service: Key) -> dict[str, bool] | None:
        """The hostnames of the service's endpoints and whether each is ready; None without any endpoint."""
        followed = (watch for watch in self._watches if service[1] in watch.services)
        endpoints = [
            endpoint
            for watch in followed
            for item in _slices(watch.informer.store, service)
            for endpoint in item.endpoints or ()
        ]
        found: dict[str, bool] = {}
        for endpoint in endpoints:
            if endpoint.hostname:
                found[endpoint.hostname] = found.get(endpoint.hostname, False) or endpoint.ready
        return found if endpoints else None


def _slices(slices: Mapping[Key, ReadySlice], service: Key) -> Iterator[ReadySlice]:
    namespace, name = service
    for (where, _), item in slices.items():
        if where == namespace and item.metadata.labels.get(names.SERVICE_NAME_LABEL) == name:
            yield item
