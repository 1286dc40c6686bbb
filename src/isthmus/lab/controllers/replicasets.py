"""ReplicaSets: as many pods as asked for."""

from typing import Final

from isthmus.lab import stamps
from isthmus.lab.caches import Caches
from isthmus.lab.client import PODS, REPLICA_SETS, ApiError, Client, Object
from isthmus.lab.controllers import objects, pods
from isthmus.lab.controllers.workloads import own, write_status
from isthmus.lab.node.events import Recorder
from isthmus.lab.watch import Key

KIND: Final = "ReplicaSet"
FAILURE: Final = "ReplicaFailure"


class ReplicaSets:
    def __init__(self, client: Client, caches: Caches, recorder: Recorder) -> None:
        self._client = client
        self._caches = caches
        self._recorder = recorder

    async def reconcile(self, key: Key) -> float | None:
        replica_set = self._caches[REPLICA_SETS].objects.get(key)
        if replica_set is None:
            return None
        owned = await own(self._client, self._caches, replica_set, kind=KIND)
        failure: ApiError | None = None
        try:
            if not objects.deleting(replica_set):
                await self._scale(replica_set, owned)
        except ApiError as error:
            failure = error
        wait = await self._report(replica_set, failure)
        if failure is not None:
            raise failure
        return wait

    async def _scale(self, replica_set: Object, owned: list[Object]) -> None:
        active = [pod for pod in owned if objects.pod_active(pod)]
        missing = int(replica_set["spec"].get("replicas", 1)) - len(active)
        watch = self._caches[PODS]
        if missing > 0:
            made = [_pod(replica_set) for _ in range(missing)]
            await pods.create(self._client, watch, made, owner=replica_set, recorder=self._recorder)
        elif missing < 0:
            surplus = pods.least_useful(active)[:-missing]
            await pods.delete(self._client, watch, surplus, owner=replica_set, recorder=self._recorder)

    async def _report(self, replica_set: Object, failure: ApiError | None) -> float | None:
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
            "conditions": _conditions(replica_set, failure),
        }
        await write_status(self._client, self._caches[REPLICA_SETS], replica_set, status)
        return counts.wait


def _conditions(replica_set: Object, failure: ApiError | None) -> list[Object]:
    """`ReplicaFailure` while pods cannot be made; with the reason, for `kubectl describe`."""
    current = (replica_set.get("status") or {}).get("conditions") or ()
    others = [found for found in current if found["type"] != FAILURE]
    if failure is None:
        return others
    condition = {"type": FAILURE, "status": "True", "reason": pods.FAILED, "message": str(failure)}
    return objects.conditions_with(current, condition, stamps.now())


def _pod(replica_set: Object) -> Object:
    metadata = replica_set["metadata"]
    return pods.from_template(
        replica_set["spec"]["template"],
        namespace=metadata["namespace"],
        name=f"{metadata['name']}-",
        owner=objects.owner_reference(replica_set, kind=KIND, api_version="apps/v1"),
    )
