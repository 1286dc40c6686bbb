"""The scheduler: binds every pod to a node, or says why there is none."""

from collections import defaultdict
from typing import Final

from isthmus.lab import stamps
from isthmus.lab.caches import Caches
from isthmus.lab.client import NAMESPACES, NODES, PODS, Client, ConflictError, NotFoundError, Object
from isthmus.lab.controllers import objects, placement
from isthmus.lab.controllers.conditions import tell
from isthmus.lab.node.events import Recorder
from isthmus.lab.reconcile import Reconciler
from isthmus.lab.watch import Change, Index, Key

NAME: Final = "default-scheduler"


class Scheduler:
    """Reconciles by pod. A pod that fits nowhere is tried again when a node changes, or another pod goes or moves."""

    def __init__(self, client: Client, caches: Caches, recorder: Recorder) -> None:
        self._client = client
        self._caches = caches
        self._recorder = recorder
        self._bound: dict[str, tuple[str, Object]] = {}
        """Pods that the cache does not show as bound yet, by uid: node and pod."""
        self._waiting: dict[Key, None] = {}
        self._by_node = Index(caches[PODS], lambda pod: filter(None, [pod["spec"].get("nodeName")]))
        self.reconciler: Reconciler[Key] = Reconciler("scheduling of", self.reconcile)
        caches[PODS].subscribe(self._pod_changed)
        caches[NODES].subscribe(self._node_changed)

    def _pod_changed(self, change: Change) -> None:
        pod = change.latest
        if change.new is not None and self._is_ours(pod):
            before = change.old
            if before is None or not self._is_ours(before) or objects.labels(before) != objects.labels(pod):
                self.reconciler.enqueue(change.key)
            return
        self._bound.pop(objects.uid(pod), None)
        self._waiting.pop(change.key, None)
        if change.old is None or change.new is None or not objects.pod_active(pod) or self._is_ours(change.old):
            self._try_again()

    def _node_changed(self, change: Change) -> None:
        if change.old is None or change.new is None or _aspect(change.old) != _aspect(change.new):
            self._try_again()

    def _try_again(self) -> None:
        for key in self._waiting:
            self.reconciler.enqueue(key)

    def _is_ours(self, pod: Object) -> bool:
        spec = pod["spec"]
        return (
            not spec.get("nodeName")
            and not objects.deleting(pod)
            and not spec.get("schedulingGates")
            and spec.get("schedulerName", NAME) == NAME
        )

    async def reconcile(self, key: Key) -> None:
        pod = self._caches[PODS].objects.get(key)
        if pod is None or not self._is_ours(pod) or objects.uid(pod) in self._bound:
            return
        try:
            node = placement.place(pod, self._cluster())
        except placement.NowhereError as error:
            self._waiting[key] = None
            await self._refuse(pod, str(error))
            return
        self._waiting.pop(key, None)
        self._bound[objects.uid(pod)] = node, pod
        try:
            await self._bind(pod, node)
        except (NotFoundError, ConflictError):
            self._bound.pop(objects.uid(pod), None)
        except BaseException:
            self._bound.pop(objects.uid(pod), None)
            raise

    def _cluster(self) -> placement.Cluster:
        """The nodes with their pods, those included that were bound a moment ago."""
        arriving: dict[str, list[Object]] = defaultdict(list)
        for node, pod in self._bound.values():
            arriving[node].append(pod)
        names = sorted(node["metadata"]["name"] for node in self._caches[NODES])
        sites = [
            placement.Site(
                self._caches[NODES].objects["", name],
                [pod for pod in self._by_node[name] if not _finished(pod)] + arriving[name],
            )
            for name in names
        ]
        labels = {one["metadata"]["name"]: objects.labels(one) for one in self._caches[NAMESPACES]}
        return placement.Cluster(sites, labels)

    async def _bind(self, pod: Object, node: str) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        body: Object = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": objects.uid(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        await self._client.create(PODS, body, namespace, name=name, subresource="binding")
        said = f"Successfully assigned {namespace}/{name} to {node}"
        self._recorder.record(pod, "Scheduled", said, component=NAME)

    async def _refuse(self, pod: Object, why: str) -> None:
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
        current = (pod.get("status") or {}).get("conditions") or ()
        self._recorder.record(pod, "FailedScheduling", why, warning=True, component=NAME)
        conditions = objects.conditions_with(current, condition, stamps.now())
        await tell(self._client, self._caches[PODS], pod, conditions)


def _finished(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _aspect(node: Object) -> object:
    """What of a node matters to those who look for one."""
    spec = node["spec"]
    allocatable = node.get("status", {}).get("allocatable")
    return (objects.living(node), spec.get("unschedulable"), spec.get("taints"), objects.labels(node), allocatable)
