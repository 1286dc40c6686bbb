"""Nodes that live and nodes that are lost: their taints, and what becomes of the pods on them."""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from math import inf
from typing import Final

import aiohttp

from isthmus.lab import stamps
from isthmus.lab.caches import Caches
from isthmus.lab.client import LEASES, NODES, PODS, ApiError, Client, NotFoundError, Object
from isthmus.lab.controllers import objects, taints
from isthmus.lab.controllers.conditions import tell
from isthmus.lab.node.events import Recorder
from isthmus.lab.node.registration import LEASE_NAMESPACE
from isthmus.lab.reconcile import Reconciler
from isthmus.lab.watch import Change, Index, Key

log = logging.getLogger(__name__)

GRACE: Final = 5.0
"""A node that has not said for so long that it lives is taken for lost. Kubernetes waits 40 s."""
LOOK: Final = 1.0
COMPONENT: Final = "node-controller"
SILENT: Final = "Kubelet stopped posting node status."


@dataclass(slots=True)
class Pulse:
    """When each node was last seen to have said that it lives: by our clock, whatever the node's says."""

    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)

    def lost(self, renewals: dict[str, str], now: float) -> set[str]:
        """The nodes that have been silent for too long."""
        former = self._seen
        self._seen = {
            name: former[name] if former.get(name, ("",))[0] == renewed else (renewed, now)
            for name, renewed in renewals.items()
        }
        return {name for name, (_, since) in self._seen.items() if now - since > GRACE}

    def forget(self) -> None:
        """Nothing was heard because nobody could be heard: everyone begins anew."""
        self._seen.clear()


class Nodes:
    """Reconciles by node: its taints, and, while it is lost or must be left, its pods."""

    def __init__(self, client: Client, caches: Caches, recorder: Recorder) -> None:
        self._client = client
        self._caches = caches
        self._recorder = recorder
        self._by_node = Index(caches[PODS], lambda pod: filter(None, [pod["spec"].get("nodeName")]))
        self.reconciler: Reconciler[Key] = Reconciler("node", self.reconcile)
        caches[NODES].subscribe(lambda change: self.reconciler.enqueue(change.key))
        caches[PODS].subscribe(self._pod_changed)

    def _pod_changed(self, change: Change) -> None:
        pod = change.latest
        node = pod["spec"].get("nodeName")
        placed = change.old is None or change.old["spec"].get("nodeName") != node
        if node and change.new is not None and (placed or self._is_left(node)):
            self.reconciler.enqueue(("", node))

    def _is_left(self, name: str) -> bool:
        node = self._caches[NODES].objects.get(("", name))
        return node is None or not objects.living(node)

    async def reconcile(self, key: Key) -> float | None:
        node = self._caches[NODES].objects.get(key)
        if node is None:
            await self._bury(key[1])
            return None
        due = taints.wanted(node, stamps.now())
        if due != taints.of(node):
            answer = await self._client.patch(NODES, key[1], {"spec": {"taints": due or None}})
            self._caches[NODES].observe(answer)
            node = answer
        condition = objects.condition(node, "Ready")
        if condition is not None and condition["status"] == "Unknown":
            for pod in self._by_node[key[1]]:
                await self._show_lost(pod)
        return await self._clear(node)

    async def _show_lost(self, pod: Object) -> None:
        """Nobody is to call a pod of which nothing is known."""
        ready = objects.condition(pod, "Ready")
        if ready is None or ready["status"] != "True":
            return
        conditions = [{**one} for one in pod["status"]["conditions"]]
        for one in conditions:
            if one["type"] == "Ready":
                one |= {"status": "False", "lastTransitionTime": stamps.now()}
        self._recorder.record(pod, "NodeNotReady", "Node is not ready", warning=True, component=COMPONENT)
        await tell(self._client, self._caches[PODS], pod, conditions)

    async def _clear(self, node: Object) -> float | None:
        """Have those go that must; when to look again."""
        now = objects.now()
        wait = inf
        for pod in self._by_node[node["metadata"]["name"]]:
            left = taints.seconds_left(pod, taints.of(node), now)
            if objects.deleting(pod) or not objects.pod_active(pod) or left == inf:
                continue
            if left > 0:
                wait = min(wait, left)
                continue
            name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
            said = f"Marking for deletion Pod {namespace}/{name}"
            self._recorder.record(pod, "TaintManagerEviction", said, component="taint-eviction-controller")
            await self._delete(pod)
        return None if wait == inf else wait

    async def _bury(self, name: str) -> None:
        """Pods of a node that exists no more end at once: nobody else could say that they have."""
        for pod in self._by_node[name]:
            await self._delete(pod, grace_period=0)

    async def _delete(self, pod: Object, grace_period: int | None = None) -> None:
        metadata = pod["metadata"]
        try:
            answer = await self._client.delete(
                PODS, metadata["name"], metadata["namespace"], uid=metadata["uid"], grace_period=grace_period
            )
        except NotFoundError:
            return
        if answer.get("kind") == "Pod" and objects.deleting(answer) and grace_period is None:
            self._caches[PODS].observe(answer)

    async def watch_over(self) -> None:
        """Mark nodes that have fallen silent, until cancelled."""
        pulse = Pulse()
        while True:
            try:
                async with asyncio.timeout(GRACE):
                    leases = (await self._client.list(LEASES, LEASE_NAMESPACE)).items
                renewals = {one["metadata"]["name"]: str(one["spec"].get("renewTime")) for one in leases}
                for name in pulse.lost(renewals, time.monotonic()):
                    if (node := self._caches[NODES].get(name)) is not None:
                        await self._mark(node)
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("nodes could not be looked after: %s", error or type(error).__name__)
                pulse.forget()
            await asyncio.sleep(LOOK)

    async def _mark(self, node: Object) -> None:
        ready = objects.condition(node, "Ready")
        if ready is None or ready["status"] == "Unknown":
            return
        now = stamps.now()
        lost = {"status": "Unknown", "reason": "NodeStatusUnknown", "message": SILENT, "lastTransitionTime": now}
        others = [one for one in node["status"]["conditions"] if one["type"] != "Ready"]
        name = node["metadata"]["name"]
        said = f"Node {name} status is now: NodeNotReady"
        self._recorder.record(node, "NodeNotReady", said, component=COMPONENT)
        await tell(self._client, self._caches[NODES], node, [*others, {**ready, **lost}])
