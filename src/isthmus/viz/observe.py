"""The objects that give numbers their names: pods and their workloads, Jobs, TrafficSplits."""

from collections.abc import Callable, Iterator

import msgspec

from isthmus.kube.client import Client
from isthmus.kube.informers import Informers
from isthmus.kube.kinds import Kind
from isthmus.kube.meta import Key, Meta
from isthmus.kube.watch import Informer
from isthmus.resources.splits import TRAFFIC_SPLITS, TrafficSplit
from isthmus.viz.proxied import PROXIED_PODS, ProxiedPod
from isthmus.viz.workloads import Target, target


class Job(msgspec.Struct, frozen=True, gc=False):
    """A Job, as far as its owner is concerned."""

    metadata: Meta = Meta()


JOBS = Kind("batch/v1", "Job", "jobs", Job)


class Observer:
    """Watches, and pods as targets; what a pod is called follows its Job's owner."""

    def __init__(self, client: Client) -> None:
        self._pods: Informer[ProxiedPod] = Informer(client, PROXIED_PODS)
        self._jobs: Informer[Job] = Informer(client, JOBS, optional=True)
        self._splits: Informer[TrafficSplit] = Informer(client, TRAFFIC_SPLITS, optional=True)
        self.informers = Informers(self._pods, self._jobs, self._splits)
        self._targets: dict[Key, Target] = {}
        self._cronjobs: dict[Key, str] = {}
        self._pods.on_change(self._pod_changed)
        self._jobs.on_change(self._job_changed)

    def on_change(self, handler: Callable[..., None]) -> None:
        """Call it whenever a pod or a TrafficSplit changed."""
        self._pods.on_change(handler)
        self._splits.on_change(handler)

    @property
    def targets(self) -> list[Target]:
        return list(self._targets.values())

    def pods(self) -> Iterator[tuple[ProxiedPod, Target]]:
        """Pods, as they are and as targets."""
        for key, pod in self._pods.store.items():
            yield pod, self._targets[key]

    @property
    def splits(self) -> list[TrafficSplit]:
        return list(self._splits.store.values())

    def _pod_changed(self, old: ProxiedPod | None, new: ProxiedPod | None) -> None:
        if new is not None:
            self._targets[new.metadata.key] = target(new, self._cronjobs)
        elif old is not None:
            self._targets.pop(old.metadata.key, None)

    def _job_changed(self, old: Job | None, new: Job | None) -> None:
        if new is None:
            if old is not None:
                self._cronjobs.pop(old.metadata.key, None)
            return
        owner = next((each.name for each in new.metadata.owner_references if each.kind == "CronJob"), "")
        key = new.metadata.key
        if not owner or self._cronjobs.get(key) == owner:
            return
        self._cronjobs[key] = owner
        for pod in self._pods.store.values():
            if any(each.kind == "Job" and each.name == key[1] for each in pod.metadata.owner_references):
                self._pod_changed(None, pod)
