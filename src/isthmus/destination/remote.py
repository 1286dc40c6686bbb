"""Linked clusters: their endpoints, followed only for the services that some proxy here asked for.

What is known stays when the API of the linked cluster goes away or its credentials change, and when this process starts
anew; it goes with the Link.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from isthmus.destination import metrics
from isthmus.destination.credentials import Credentials
from isthmus.destination.follower import Follower
from isthmus.destination.memory import Memory
from isthmus.kube import errors
from isthmus.kube.client import Client, connect
from isthmus.kube.watch import Signal
from isthmus.mesh.state import Remote, RemoteKey, State

log = logging.getLogger(__name__)

KEEP_SECONDS: Final = 300.0
"""A service is still followed for this long after the last proxy stopped asking."""
FIRST_ANSWER_SECONDS: Final = 3.0
"""A proxy that asks waits no longer than this for a linked cluster that does not answer."""


@dataclass(slots=True)
class _Cluster:
    """A linked cluster; no client while its credentials are missing or unusable."""

    kubeconfig: bytes | None = None
    client: Client | None = None
    tasks: dict[RemoteKey, "asyncio.Task[None]"] = field(default_factory=dict)
    followers: dict[RemoteKey, "Follower"] = field(default_factory=dict)

    def up(self) -> float:
        """1 when something is followed, and currently."""
        return float(any(follower.current for follower in self.followers.values()))


class Remotes:
    """Follows what is wanted and writes it to the state; `run()` owns all the work."""

    def __init__(
        self,
        local: Client,
        state: State,
        memory: Memory,
        *,
        touched: Callable[[], None],
        keep_seconds: float = KEEP_SECONDS,
        first_answer_seconds: float = FIRST_ANSWER_SECONDS,
    ) -> None:
        self._state = state
        self._memory = memory
        self._touched = touched
        self._keep_seconds = keep_seconds
        self._first_answer_seconds = first_answer_seconds
        self._credentials = Credentials(local, self._use)
        self._clusters: dict[str, _Cluster] = {}
        self._linked: set[str] = set()
        self._wanted: dict[RemoteKey, float | None] = {}
        """Services to follow; a number is when to stop."""
        self._retired: list[Client] = []
        self._wake = Signal()

    def want(self, key: RemoteKey) -> None:
        self._wanted[key] = None
        self._wake.set()

    def unwant(self, key: RemoteKey) -> None:
        if key in self._wanted:
            self._wanted[key] = asyncio.get_running_loop().time() + self._keep_seconds
            self._wake.set()

    def links_changed(self, *_: object) -> None:
        """The state has other Links now, so other credentials may count."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                links = self._state.links()
                self._credentials.follow(links, group)
                self._forget_all_but({link.cluster for link in links})
                self._adjust(group)
                await self._wake.wait(self._until_next_release())

    # --- what is followed ---------------------------------------------------------------------------------------

    def _forget_all_but(self, linked: set[str]) -> None:
        """A Link that goes takes along what was known through it: the next one of its name may lead elsewhere."""
        self._linked = linked
        for name in self._clusters.keys() - linked:
            for task in self._clusters.pop(name).tasks.values():
                task.cancel()
            for key in [key for key in self._wanted if key[0] == name]:
                self._state.set_remote(key, None)
            metrics.forget(name)
            self._touched()

    def _adjust(self, group: asyncio.TaskGroup) -> None:
        """Start and stop following so that it matches what is wanted."""
        while self._retired:
            group.create_task(self._retired.pop().close())
        now = asyncio.get_running_loop().time()
        for key in [key for key, until in self._wanted.items() if until is not None and until <= now]:
            self._release(key)
        for key in self._wanted:
            if key[0] not in self._linked:
                continue
            cluster = self._cluster(key[0])
            if key not in cluster.tasks:
                cluster.tasks[key] = group.create_task(self._follow(key, cluster.client))
        for name, cluster in self._clusters.items():
            metrics.REMOTE_SERVICES.labels(name).set(len(cluster.tasks))

    def _release(self, key: RemoteKey) -> None:
        del self._wanted[key]
        cluster = self._clusters.get(key[0])
        task = cluster.tasks.pop(key, None) if cluster else None
        if task is not None:
            task.cancel()
        self._state.set_remote(key, None)
        self._memory.released(key)
        self._touched()

    def _until_next_release(self) -> float | None:
        releases = [until for until in self._wanted.values() if until is not None]
        return max(0.0, min(releases) - asyncio.get_running_loop().time()) if releases else None

    # --- credentials --------------------------------------------------------------------------------------------

    def _use(self, name: str, kubeconfig: bytes | None) -> None:
        """Follow a cluster with these credentials from now on. What is known of it stays."""
        cluster = self._cluster(name)
        if cluster.kubeconfig == kubeconfig:
            return
        cluster.kubeconfig = kubeconfig
        if cluster.client is not None:
            self._retired.append(cluster.client)
        cluster.client = self._connect(name, kubeconfig)
        for task in cluster.tasks.values():
            task.cancel()
        cluster.tasks.clear()
        self._wake.set()

    def _cluster(self, name: str) -> _Cluster:
        cluster = self._clusters.get(name)
        if cluster is None:
            cluster = self._clusters[name] = _Cluster()
            metrics.REMOTE_UP.labels(name).set_function(cluster.up)
        return cluster

    def _connect(self, name: str, kubeconfig: bytes | None) -> Client | None:
        if kubeconfig is None:
            return None
        try:
            return connect(kubeconfig, name=name)
        except errors.KubeError as error:
            log.error("cluster %s cannot be followed: %s", name, error)
            return None

    # --- one service --------------------------------------------------------------------------------------------

    async def _follow(self, key: RemoteKey, client: Client | None) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._first_answer(key))
            if client is None:
                return
            known = self._state.remote(key)
            followers = self._clusters[key[0]].followers
            follower = followers[key] = Follower(client, key, self._heard, known.workloads if known else {})
            try:
                await follower.run()
            finally:
                if followers.get(key) is follower:
                    del followers[key]

    async def _first_answer(self, key: RemoteKey) -> None:
        """While a linked cluster says nothing what it said last counts, as soon as that is known."""
        while True:
            await asyncio.sleep(self._first_answer_seconds)
            known = self._state.remote(key)
            if known is not None and (known.heard or known.slices):
                return
            if recalled := self._memory.recall(key):
                log.warning("cluster %s has not said who answers for %s/%s; what it said last counts", *key)
                self._publish(key, recalled)
            elif known is None:
                log.warning("cluster %s has not said who answers for %s/%s; proxies go on with what they know", *key)
                self._publish(key, Remote(heard=False))

    def _heard(self, key: RemoteKey, remote: Remote) -> None:
        self._publish(key, remote)
        if remote.heard and key in self._wanted:
            self._memory.learned(key, remote)

    def _publish(self, key: RemoteKey, remote: Remote) -> None:
        if key in self._wanted:
            self._state.set_remote(key, remote)
            self._touched()
