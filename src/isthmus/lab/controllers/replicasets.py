"""ReplicaSets: as many pods as asked for."""

from typing import Final

from isthmus.lab.client import PODS, REPLICA_SETS, Client, Object
from isthmus.lab.controllers import objects, pods
from isthmus.lab.controllers.caches import Caches
from isthmus.lab.controllers.workloads import own, write_status
from isthmus.lab.watch import Key

KIND: Final = "ReplicaSet"


class ReplicaSets:
    def __init__(self, client: Client, caches: Caches) -> None:
        self._client = client
        self._caches = caches

    async def reconcile(self, key: Key) -> float | None:
        replica_set = self._caches[REPLICA_SETS].objects.get(key)
        if replica_set is None:
            return None
        owned = await own(self._client, self._caches, replica_set, kind=KIND)
        if not objects.deleting(replica_set):
            await self._scale(replica_set, owned)
        return await self._report(replica_set)

    async def _scale(self, replica_set: Object, owned: list[Object]) -> None:
        active = [pod for pod in owned if objects.pod_active(pod)]
        missing = int(replica_set["spec"].get("replicas", 1)) - len(active)
        watch = self._caches[PODS]
        if missing > 0:
            await pods.create(self._client, watch, [_pod(replica_set) for _ in range(missing)])
        elif missing < 0:
            await pods.delete(self._client, watch, pods.least_useful(active)[:-missing])

    async def _report(self, replica_set: Object) -> float | None:
        spec = replica_set["spec"]
        owned = self._caches.owned(PODS, objects.uid(replica_set))
        counts = pods.count(owned, spec.get("minReadySeconds", 0), objects.now())
        wanted = (spec.get("template", {}).get("metadata", {}).get("labels") or {}).items()
        labeled = sum(objects.pod_active(pod) and wanted <= objects.labels(pod).items() for pod in owned)
        status = {
            "replicas": counts.replicas,
            "fullyLabeledReplicas": labeled,
            "readyReplicas": counts.ready,
            "availableReplicas": counts.available,
            "observedGeneration": replica_set["metadata"].get("generation", 0),
        }
        await write_status(self._client, self._caches[REPLICA_SETS], replica_set, status)
        return counts.wait


def _pod(replica_set: Object) -> Object:
    metadata = replica_set["metadata"]
    return pods.from_template(
        replica_set["spec"]["template"],
        namespace=metadata["namespace"],
        name=f"{metadata['name']}-",
        owner=objects.owner_reference(replica_set, kind=KIND, api_version="apps/v1"),
    )
