"""Jobs: pods until enough of them have succeeded, or too many have failed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from isthmus.lab import stamps
from isthmus.lab.client import JOBS, Object
from isthmus.lab.controllers import objects, pods
from isthmus.lab.controllers.workloads import Workloads
from isthmus.lab.watch import Key

KIND: Final = "Job"
BACK_OFF_LIMIT: Final = 6
NAME_LABELS: Final = ("batch.kubernetes.io/job-name", "job-name")


class Jobs(Workloads):
    kind = KIND
    resource = JOBS

    async def reconcile(self, key: Key) -> None:
        job = self.find(key)
        if job is None or objects.deleting(job) or finished(job):
            return
        owned = await self.own(job)
        status = status_of(job, owned, objects.now())
        active = [pod for pod in owned if objects.pod_active(pod)]
        if status.get("conditions"):
            await self.delete(job, active)
        elif not job["spec"].get("suspend"):
            missing = parallelism(job, status["succeeded"]) - len(active)
            made = [_pod(job) for _ in range(missing)]
            await self.create(job, made)
        await self.write_status(job, status)


def finished(job: Object) -> bool:
    return objects.is_true(job, "Complete") or objects.is_true(job, "Failed")


def parallelism(job: Object, succeeded: int) -> int:
    """How many pods should run now."""
    spec = job["spec"]
    wanted = int(spec.get("parallelism", 1))
    return min(wanted, int(spec.get("completions") or wanted) - succeeded)


def status_of(job: Object, owned: Sequence[Object], now: datetime) -> dict[str, Any]:
    """Counts, and the condition that ends the job once it has one."""
    phases = [pod.get("status", {}).get("phase") for pod in owned]
    succeeded, failed = phases.count("Succeeded"), phases.count("Failed")
    running = [pod for pod in owned if objects.pod_active(pod)]
    stamp = stamps.written(now)
    status: dict[str, Any] = {
        "active": len(running),
        "ready": sum(map(objects.pod_ready, running)),
        "succeeded": succeeded,
        "failed": failed,
        "startTime": (job.get("status") or {}).get("startTime") or stamp,
    }
    completions = int(job["spec"].get("completions") or job["spec"].get("parallelism", 1))
    if succeeded >= completions:
        status["conditions"] = [_condition("Complete", "CompletionsReached", "Reached expected number of pods", stamp)]
        status["completionTime"] = stamp
    elif failed > int(job["spec"].get("backoffLimit", BACK_OFF_LIMIT)):
        text = "Job has reached the specified backoff limit"
        status["conditions"] = [_condition("Failed", "BackoffLimitExceeded", text, stamp)]
    return status


def _condition(kind: str, reason: str, message: str, stamp: str) -> Object:
    times = {"lastProbeTime": stamp, "lastTransitionTime": stamp}
    return {"type": kind, "status": "True", "reason": reason, "message": message, **times}


def _pod(job: Object) -> Object:
    metadata = job["metadata"]
    pod = pods.from_template(job, kind=KIND, api_version="batch/v1")
    uid = objects.uid(job)
    pod["metadata"]["labels"] |= dict.fromkeys(NAME_LABELS, metadata["name"])
    pod["metadata"]["labels"] |= {"batch.kubernetes.io/controller-uid": uid, "controller-uid": uid}
    return pod
