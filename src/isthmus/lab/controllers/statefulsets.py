"""StatefulSets: pods with lasting names, made and replaced one after the other. Volumes are not claimed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from isthmus.lab.client import STATEFUL_SETS, Object
from isthmus.lab.controllers import objects, pods
from isthmus.lab.controllers.workloads import Workloads
from isthmus.lab.watch import Key

KIND: Final = "StatefulSet"
REVISION: Final = "controller-revision-hash"
POD_NAME: Final = "statefulset.kubernetes.io/pod-name"
POD_INDEX: Final = "apps.kubernetes.io/pod-index"


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next: ordinals to create, pods to give up."""

    create: tuple[int, ...] = ()
    delete: tuple[Object, ...] = ()


class StatefulSets(Workloads):
    kind = KIND
    resource = STATEFUL_SETS

    async def reconcile(self, key: Key) -> float | None:
        found = self.find(key)
        if found is None:
            return None
        owned = await self.own(found)
        revision = f"{key[1]}-{objects.template_hash(found['spec']['template'])}"
        if not objects.deleting(found):
            step = next_step(found, owned, revision)
            made = [new_pod(found, ordinal, revision) for ordinal in step.create]
            await self.create(found, made)
            await self.delete(found, step.delete)
        return await self._report(found, revision)

    async def _report(self, found: Object, revision: str) -> float | None:
        owned = self.owned(found)
        counts = pods.count(owned, found["spec"].get("minReadySeconds", 0), objects.now())
        updated = sum(objects.pod_active(pod) and objects.labels(pod).get(REVISION) == revision for pod in owned)
        status: dict[str, Any] = {
            "observedGeneration": found["metadata"].get("generation", 0),
            "replicas": counts.replicas,
            "readyReplicas": counts.ready,
            "availableReplicas": counts.available,
            "updatedReplicas": updated,
            "updateRevision": revision,
        }
        former = (found.get("status") or {}).get("currentRevision")
        if updated == counts.replicas == found["spec"].get("replicas", 1) or not former:
            former = revision
        status["currentRevision"] = former
        status["currentReplicas"] = updated if former == revision else counts.replicas - updated
        await self.write_status(found, status)
        return counts.wait


def next_step(found: Object, owned: Sequence[Object], revision: str) -> Step:
    """Pods in order: each waits for those before it, unless they may all start at once; the last go first."""
    spec = found["spec"]
    replicas = int(spec.get("replicas", 1))
    parallel = spec.get("podManagementPolicy") == "Parallel"
    present = {ordinal_of(pod): pod for pod in owned}
    surplus = sorted((n for n, pod in present.items() if n >= replicas and not objects.deleting(pod)), reverse=True)
    finished = tuple(pod for pod in owned if not objects.pod_active(pod) and not objects.deleting(pod))
    if finished:
        return Step(delete=finished)
    if parallel:
        missing = tuple(n for n in range(replicas) if n not in present)
        if missing or surplus:
            return Step(create=missing, delete=tuple(present[n] for n in surplus))
    for ordinal in range(replicas):
        if ordinal not in present:
            return Step(create=(ordinal,))
        if not parallel and not _settled(present[ordinal]):
            return _replace_stuck(present[ordinal], revision)
    if surplus:
        return Step(delete=(present[surplus[0]],))
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return Step()
    return _update(spec, present, replicas, revision)


def _replace_stuck(pod: Object, revision: str) -> Step:
    """A pod of an older revision that never became ready must not hold up the update that repairs it."""
    outdated = objects.labels(pod).get(REVISION) != revision
    return Step(delete=(pod,)) if outdated and not objects.deleting(pod) else Step()


def _update(spec: dict[str, Any], present: dict[int, Object], replicas: int, revision: str) -> Step:
    partition = int(((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition", 0))
    for ordinal in range(replicas - 1, partition - 1, -1):
        pod = present[ordinal]
        if objects.labels(pod).get(REVISION) != revision:
            return Step() if objects.deleting(pod) else Step(delete=(pod,))
        if not _settled(pod):
            return Step()
    return Step()


def _settled(pod: Object) -> bool:
    return objects.pod_active(pod) and objects.pod_ready(pod)


def ordinal_of(pod: Object) -> int:
    text = pod["metadata"]["name"].rpartition("-")[2]
    return int(text) if text.isdigit() else -1


def new_pod(found: Object, ordinal: int, revision: str) -> Object:
    """The pod with this number, with a host name of its own below the governing service."""
    metadata, spec = found["metadata"], found["spec"]
    name = f"{metadata['name']}-{ordinal}"
    pod = pods.from_template(found, kind=KIND, name=name)
    pod["metadata"]["labels"] |= {REVISION: revision, POD_NAME: name, POD_INDEX: str(ordinal)}
    pod["spec"] |= {"hostname": name}
    if spec.get("serviceName"):
        pod["spec"]["subdomain"] = spec["serviceName"]
    return pod
