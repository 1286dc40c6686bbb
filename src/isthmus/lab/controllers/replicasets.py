"""ReplicaSets: as many pods as asked for."""

from typing import Final

from isthmus.lab import stamps
from isthmus.lab.client import REPLICA_SETS, ApiError, Object
from isthmus.lab.controllers import objects, pods
from isthmus.lab.controllers.workloads import FAILED, Workloads
from isthmus.lab.watch import Key

KIND: Final = "ReplicaSet"
FAILURE: Final = "ReplicaFailure"


class ReplicaSets(Workloads):
    kind = KIND
    resource = REPLICA_SETS

    async def reconcile(self, key: Key) -> float | None:
        replica_set = self.find(key)
        if replica_set is None:
            return None
        owned = await self.own(replica_set)
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
        if missing > 0:
            made = [pods.from_template(replica_set, kind=KIND) for _ in range(missing)]
            await self.create(replica_set, made)
        elif missing < 0:
            surplus = pods.least_useful(active)[:-missing]
            await self.delete(replica_set, surplus)

    async def _report(self, replica_set: Object, failure: ApiError | None) -> float | None:
        spec = replica_set["spec"]
        owned = self.owned(replica_set)
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
        await self.write_status(replica_set, status)
        return counts.wait


def _conditions(replica_set: Object, failure: ApiError | None) -> list[Object]:
    """`ReplicaFailure` while pods cannot be made; with the reason, for `kubectl describe`."""
    current = (replica_set.get("status") or {}).get("conditions") or ()
    others = [found for found in current if found["type"] != FAILURE]
    if failure is None:
        return others
    condition = {"type": FAILURE, "status": "True", "reason": FAILED, "message": str(failure)}
    return objects.conditions_with(current, condition, stamps.now())
