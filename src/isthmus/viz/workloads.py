"""Who a pod is: the workloads it belongs to, whether it has a proxy, how it is. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from isthmus.kube.meta import Key
from isthmus.mesh.workloads import meshed
from isthmus.resources.core import Pod

TEMPLATE_HASH_LABEL: Final = "pod-template-hash"
_BY_OWNER: Final = {
    kind: kind.lower()
    for kind in ("StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicaSet", "ReplicationController", "Deployment")
}
MOST_TELLING: Final = (
    "deployment",
    "statefulset",
    "daemonset",
    "cronjob",
    "job",
    "replicaset",
    "replicationcontroller",
)
"""By which of its workloads a pod is called where one name must do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A pod as answers name it. `workloads`: kind -> name, with the pod itself and its namespace."""

    namespace: str
    name: str
    uid: str
    ip: str
    created: str
    workloads: Mapping[str, str]
    account: str = ""
    meshed: bool = False
    running: bool = False
    status: str = ""

    @property
    def workload(self) -> tuple[str, str]:
        """Kind and name of what the pod is a replica of, or of the pod."""
        for kind in MOST_TELLING:
            if kind in self.workloads:
                return kind, self.workloads[kind]
        return "pod", self.name


def target(pod: Pod, cronjobs: Mapping[Key, str]) -> Target:
    """`cronjobs` names the CronJob of a Job, by the Job's key."""
    metadata = pod.metadata
    return Target(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        ip="" if pod.finished or pod.spec.host_network else pod.status.pod_ip,
        created=metadata.creation_timestamp,
        workloads=_workloads(pod, cronjobs),
        account=pod.spec.service_account_name,
        meshed=meshed(pod),
        running=not pod.finished and metadata.deletion_timestamp is None,
        status="Terminating" if metadata.deletion_timestamp else pod.status.phase,
    )


def _workloads(pod: Pod, cronjobs: Mapping[Key, str]) -> dict[str, str]:
    metadata = pod.metadata
    found = {"pod": metadata.name, "namespace": metadata.namespace}
    for owner in metadata.owner_references:
        kind = _BY_OWNER.get(owner.kind)
        if kind is None:
            continue
        found[kind] = owner.name
        template = metadata.labels.get(TEMPLATE_HASH_LABEL)
        if kind == "replicaset" and template and owner.name.endswith(f"-{template}"):
            found["deployment"] = owner.name.removesuffix(f"-{template}")
        if kind == "job" and (cronjob := cronjobs.get((metadata.namespace, owner.name))):
            found["cronjob"] = cronjob
    return found
