"""One service of a linked cluster: its EndpointSlices are watched, its pods are looked up.

Whose account a pod runs under and whether it has a proxy cannot change while it lives, and a pod is listed before it is
ready, so the answer is there in time.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from isthmus import names
from isthmus.kube import errors
from isthmus.kube.client import Client
from isthmus.kube.watch import Informer, Signal
from isthmus.mesh.endpoints import pod_id, pod_key
from isthmus.mesh.state import Remote, RemoteKey
from isthmus.mesh.workloads import Workload, workload
from isthmus.resources.core import PODS
from isthmus.resources.discovery import ENDPOINT_SLICES, EndpointSlice
from isthmus.resources.keys import Key

log = logging.getLogger(__name__)

_LIST_FROM: Final = 8
"""So many unknown pods are listed rather than looked up one by one."""
_RETRY_SECONDS: Final = 2.0


class Follower:
    """Publishes what it learns. Pods that are known already need not be looked up with these credentials."""

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
