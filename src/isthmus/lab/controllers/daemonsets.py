"""DaemonSets: one pod on every node."""

from collections.abc import Sequence
from typing import Final

from isthmus.lab.client import DAEMON_SETS, NODES, Object
from isthmus.lab.controllers import objects, placement, pods, taints
from isthmus.lab.controllers.workloads import Workloads
from isthmus.lab.reconcile import Reconciler
from isthmus.lab.watch import Change, Key

KIND: Final = "DaemonSet"
REVISION: Final = "controller-revision-hash"


class DaemonSets(Workloads):
    kind = KIND
    resource = DAEMON_SETS

    def reconciler(self) -> Reconciler[Key]:
        """They also hear of nodes."""
        reconciler = super().reconciler()

        def node_changed(_: Change) -> None:
            for key in self.caches[DAEMON_SETS].objects:
                reconciler.enqueue(key)

        self.caches[NODES].subscribe(node_changed)
        return reconciler

    async def reconcile(self, key: Key) -> float | None:
        found = self.find(key)
        if found is None:
            return None
        owned = await self.own(found)
        revision = objects.template_hash(found["spec"]["template"])
        nodes = [node["metadata"]["name"] for node in self.caches[NODES] if _fits(found, node)]
        if not objects.deleting(found):
            await self.delete(found, unwanted(found, owned, nodes, revision))
            taken = {pod["spec"].get("nodeName") for pod in self.owned(found)}
            made = [_pod(found, node, revision) for node in nodes if node not in taken]
            await self.create(found, made)
        return await self._report(found, len(nodes), revision)

    async def _report(self, found: Object, wanted: int, revision: str) -> float | None:
        owned = self.owned(found)
        counts = pods.count(owned, found["spec"].get("minReadySeconds", 0), objects.now())
        status = {
            "observedGeneration": found["metadata"].get("generation", 0),
            "desiredNumberScheduled": wanted,
            "currentNumberScheduled": counts.replicas,
            "updatedNumberScheduled": sum(
                objects.pod_active(pod) and objects.labels(pod).get(REVISION) == revision for pod in owned
            ),
            "numberReady": counts.ready,
            "numberAvailable": counts.available,
            "numberUnavailable": max(0, wanted - counts.available),
            "numberMisscheduled": 0,
        }
        await self.write_status(found, status)
        return counts.wait


def unwanted(found: Object, owned: Sequence[Object], nodes: Sequence[str], revision: str) -> list[Object]:
    """Pods to give up: finished, on the wrong node, or of an older template."""
    replace = (found["spec"].get("updateStrategy") or {}).get("type") != "OnDelete"
    return [
        pod
        for pod in owned
        if not objects.deleting(pod)
        and (
            not objects.pod_active(pod)
            or pod["spec"].get("nodeName") not in nodes
            or (replace and objects.labels(pod).get(REVISION) != revision)
        )
    ]


def _fits(found: Object, node: Object) -> bool:
    pod = {"spec": {**found["spec"]["template"]["spec"], "tolerations": _tolerations(found)}}
    hard = (taint for taint in taints.of(node) if taint["effect"] in ("NoSchedule", "NoExecute"))
    return placement.selected(pod, node) and all(taints.tolerated(one, pod["spec"]["tolerations"]) for one in hard)


def _tolerations(found: Object) -> list[Object]:
    """A node's own pods stay through all that befalls it."""
    always = [
        {"key": taints.NOT_READY, "operator": "Exists", "effect": "NoExecute"},
        {"key": taints.UNREACHABLE, "operator": "Exists", "effect": "NoExecute"},
        {"key": taints.NOT_READY, "operator": "Exists", "effect": "NoSchedule"},
        {"key": taints.UNREACHABLE, "operator": "Exists", "effect": "NoSchedule"},
        {"key": taints.UNSCHEDULABLE, "operator": "Exists", "effect": "NoSchedule"},
    ]
    own = found["spec"]["template"]["spec"].get("tolerations") or []
    return [*own, *(one for one in always if one not in own)]


def _pod(found: Object, node: str, revision: str) -> Object:
    pod = pods.from_template(found, kind=KIND)
    pod["metadata"]["labels"][REVISION] = revision
    pod["spec"] |= {"nodeName": node, "tolerations": _tolerations(found)}
    return pod
