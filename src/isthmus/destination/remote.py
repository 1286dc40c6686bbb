"""Linked clusters: their endpoints, followed only for the services that some proxy here asked for.

A service of a linked cluster costs one watch of its EndpointSlices. Its pods are looked up, not watched: whose account
a pod runs under and whether it has a proxy cannot change while it lives, and a pod is listed before it is ready, so the
answer is there in time. What is known stays when the API of the linked cluster goes away or its credentials change; it
goes with the Link.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from isthmus import names
from isthmus.destination import metrics
from isthmus.destination.credentials import Credentials
from isthmus.destination.memory import Memory
from isthmus.kube import errors
from isthmus.kube.client import Client, connect
from isthmus.kube.watch import Informer, Signal
from isthmus.mesh.endpoints import pod_id, pod_key
from isthmus.mesh.state import Remote, RemoteKey, State
from isthmus.mesh.workloads import Workload, workload
from isthmus.resources.core import PODS
from isthmus.resources.discovery import ENDPOINT_SLICES, EndpointSlice
from isthmus.resources.keys import Key

log = logging.getLogger(__name__)

KEEP_SECONDS: Final = 300.0
"""A service is still followed for this long after the last proxy stopped asking."""
FIRST_ANSWER_SECONDS: Final = 3.0
"""A proxy that asks waits no longer than this for a linked cluster that does not answer."""
_LIST_FROM: Final = 8
"""So many unknown pods are listed rather than looked up one by one."""
_RETRY_SECONDS: Final = 2.0


@dataclass(slots=True)
class _Cluster:
    """A linked cluster; no client while its credentials are missing or unusable."""

    kubeconfig: bytes | None = None
    client: Client | None = None
    tasks: dict[RemoteKey, "asyncio.Task[None]"] = field(default_factory=dict)
    followers: dict[RemoteKey, "_Follower"] = field(default_factory=dict)

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
                try:
                    async with asyncio.timeout(self._until_next_release()):
                        await self._wake.wait()
                except TimeoutError:
                    continue

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
            follower = followers[key] = _Follower(client, key, self._heard, known.workloads if known else {})
            try:
                await follower.run()
            finally:
                if followers.get(key) is follower:
                    del followers[key]

    async def _first_answer(self, key: RemoteKey) -> None:
        await asyncio.sleep(self._first_answer_seconds)
        if self._state.remote(key) is None:
            log.warning("cluster %s has not said who answers for %s/%s; what it said last counts", *key)
            self._publish(key, self._memory.recall(key) or Remote(heard=False))

    def _heard(self, key: RemoteKey, remote: Remote) -> None:
        self._publish(key, remote)
        if remote.heard and key in self._wanted:
            self._memory.learned(key, remote)

    def _publish(self, key: RemoteKey, remote: Remote) -> None:
        if key in self._wanted:
            self._state.set_remote(key, remote)
            self._touched()


class _Follower:
    """One service of a linked cluster. Pods that are known already need not be looked up with these credentials."""

    def __init__(
        self,
        client: Client,
        key: RemoteKey,
        publish: Callable[[RemoteKey, Remote], None],
        known: Mapping[str, Workload],
    ) -> None:
        self._cluster, self._namespace, name = key
        self._key = key
        self._client = client
        self._publish = publish
        self._workloads = dict(known)
        self._slices = Informer(
            client, ENDPOINT_SLICES, namespace=self._namespace, labels=f"{names.SERVICE_NAME_LABEL}={name}"
        )
        self._changed = Signal()
        self._slices.on_change(self._changed.set)

    @property
    def current(self) -> bool:
        return self._slices.synced.is_set() and self._slices.error is None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._slices.run())
            await self._slices.synced.wait()
            while True:
                await self._update()
                await self._changed.wait()

    async def _update(self) -> None:
        """Publish what is known at once, and again when the unknown pods have been looked up."""
        slices = tuple(self._slices.store.values())
        present = _pods(slices)
        self._workloads = {pod: found for pod, found in self._workloads.items() if pod in present}
        unknown = {pod: where for pod, where in present.items() if pod not in self._workloads}
        if unknown and not _ready_and_known(slices, self._workloads):
            # The very first answer is worth waiting for: an empty one would fail requests.
            await self._look_up(unknown)
        elif unknown:
            self._publish(self._key, Remote(slices, dict(self._workloads)))
            await self._look_up(unknown)
        heard = present.keys() <= self._workloads.keys() or _ready_and_known(slices, self._workloads)
        self._publish(self._key, Remote(slices, dict(self._workloads), heard))

    async def _look_up(self, unknown: dict[str, Key]) -> None:
        try:
            async with asyncio.timeout(_RETRY_SECONDS * 5):
                if len(unknown) >= _LIST_FROM:
                    await self._list(unknown)
                else:
                    for pod, key in unknown.items():
                        await self._get(pod, key)
        except (errors.KubeError, TimeoutError) as error:
            log.warning(
                "cannot learn who the pods of %s/%s in cluster %s are: %s", *self._key[1:], self._cluster, error
            )
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._changed.set)

    async def _get(self, pod: str, key: Key) -> None:
        namespace, name = key
        try:
            found = workload(await self._client.get(PODS, name, namespace))
        except errors.NotFound:
            return
        if found.uid in ("", pod) or "/" in pod:
            self._workloads[pod] = found

    async def _list(self, unknown: dict[str, Key]) -> None:
        """Meshed pods by one list; whatever else is there has no proxy."""
        found: dict[str, Workload] = {}
        for namespace in {namespace for namespace, _ in unknown.values()}:
            for pod in await self._client.list(PODS, namespace, labels=names.CONTROL_PLANE_NS_LABEL):
                each = workload(pod)
                found[each.uid] = found[f"{each.namespace}/{each.name}"] = each
        for uid, key in unknown.items():
            self._workloads[uid] = found.get(uid) or _unmeshed(uid, *key)


def _unmeshed(uid: str, namespace: str, name: str) -> Workload:
    return Workload(
        namespace, name, uid, "", "", meshed=False, gateway=False, opaque_ports=(), skipped_ports=frozenset()
    )


def _pods(slices: tuple[EndpointSlice, ...]) -> dict[str, Key]:
    found: dict[str, Key] = {}
    for item in slices:
        for endpoint in item.endpoints or ():
            identity, key = pod_id(item, endpoint), pod_key(item, endpoint)
            if identity and key:
                found[identity] = key
    return found


def _ready_and_known(slices: tuple[EndpointSlice, ...], known: dict[str, Workload]) -> bool:
    return any(
        endpoint.ready and pod_id(item, endpoint) in known for item in slices for endpoint in item.endpoints or ()
    )
