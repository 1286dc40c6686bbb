"""DaemonSets: one pod on every node."""

from collections.abc import Sequence
from typing import Final

from isthmus.lab.caches import Caches
from isthmus.lab.client import DAEMON_SETS, NODES, PODS, Client, Object
from isthmus.lab.controllers import objects, pods
from isthmus.lab.controllers.workloads import own, write_status
from isthmus.lab.node.events import Recorder
from isthmus.lab.watch import Key

KIND: Final = "DaemonSet"
REVISION: Final = "controller-revision-hash"


class DaemonSets:
    def __init__(self, client: Client, caches: Caches, recorder: Recorder) -> None:
        self._client = client
        self._caches = caches
        self._recorder = recorder

    async def reconcile(self, key: Key) -> float | None:
        found = self._caches[DAEMON_SETS].objects.get(key)
        if found is None:
            return None
        owned = await own(self._client, self._caches, found, kind=KIND)
        revision = objects.template_hash(found["spec"]["template"])
        nodes = [node["metadata"]["name"] for node in self._caches[NODES] if _fits(found, node)]
        if not objects.deleting(found):
            watch = self._caches[PODS]
            await pods.delete(
                self._client, watch, unwanted(found, owned, nodes, revision), owner=found, recorder=self._recorder
            )
            taken = {pod["spec"].get("nodeName") for pod in self._caches.owned(PODS, objects.uid(found))}
            made = [_pod(found, node, revision) for node in nodes if node not in taken]
            await pods.create(self._client, watch, made, owner=found, recorder=self._recorder)
        return await self._report(found, len(nodes), revision)

    async def _report(self, found: Object, wanted: int, revision: str) -> float | None:
        owned = self._caches.owned(PODS, objects.uid(found))
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
        await write_status(self._client, self._caches[DAEMON_SETS], found, status)
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
    selector = found["spec"]["template"]["spec"].get("nodeSelector") or {}
    return bool(selector.items() <= objects.labels(node).items())


def _pod(found: Object, node: str, revision: str) -> Object:
    metadata = found["metadata"]
    pod = pods.from_template(
        found["spec"]["template"],
        namespace=metadata["namespace"],
        name=f"{metadata['name']}-",
        owner=objects.owner_reference(found, kind=KIND, api_version="apps/v1"),
    )
    pod["metadata"]["labels"][REVISION] = revision
    pod["spec"]["nodeName"] = node
    return pod
