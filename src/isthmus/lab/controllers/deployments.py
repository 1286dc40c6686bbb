"""Deployments: one ReplicaSet per pod template, the newest one filled as the strategy allows."""

from collections.abc import Sequence
from typing import Any, Final

from isthmus.lab.client import DEPLOYMENTS, REPLICA_SETS, ConflictError, NotFoundError, Object
from isthmus.lab.controllers import objects, rollouts
from isthmus.lab.controllers.deployment_status import status_of
from isthmus.lab.controllers.workloads import Workloads
from isthmus.lab.watch import Key

KIND: Final = "Deployment"
REVISION: Final = "deployment.kubernetes.io/revision"
DESIRED: Final = "deployment.kubernetes.io/desired-replicas"
MAXIMUM: Final = "deployment.kubernetes.io/max-replicas"
NOT_INHERITED: Final = frozenset({"kubectl.kubernetes.io/last-applied-configuration", REVISION, DESIRED, MAXIMUM})
HISTORY: Final = 10


class Deployments(Workloads):
    kind = KIND
    resource = DEPLOYMENTS
    dependents = REPLICA_SETS

    async def reconcile(self, key: Key) -> float | None:
        deployment = self.find(key)
        if deployment is None or objects.deleting(deployment):
            return None
        owned = await self.own(deployment)
        newest = find_newest(deployment, owned)
        paused = bool(deployment["spec"].get("paused"))
        if newest is None and not paused:
            newest = await self._create(deployment, owned)
        if newest is not None:
            newest = await self._number(deployment, newest, owned)
            await self._resize(deployment, newest, paused=paused)
            await self._forget(deployment, newest)
        return await self._report(deployment)

    async def _create(self, deployment: Object, owned: Sequence[Object]) -> Object:
        made = new_replica_set(deployment, revision=_last_revision(owned) + 1)
        try:
            answer = await self.client.create(REPLICA_SETS, made)
        except ConflictError:
            found = await self.client.get(REPLICA_SETS, made["metadata"]["name"], made["metadata"]["namespace"])
            reference = objects.controller_of(found)
            if reference is None or reference["uid"] != objects.uid(deployment):
                raise
            answer = found
        self.caches[REPLICA_SETS].observe(answer)
        return answer

    async def _number(self, deployment: Object, newest: Object, owned: Sequence[Object]) -> Object:
        """Give the newest ReplicaSet the highest revision (also when an old template came back), and say so above."""
        others = [item for item in owned if objects.uid(item) != objects.uid(newest)]
        number = max(_revision(newest), _last_revision(others) + 1)
        if _revision(newest) != number:
            change = {"metadata": {"annotations": {REVISION: str(number)}}}
            newest = await self.patch(REPLICA_SETS, newest, change)
        if objects.annotations(deployment).get(REVISION) != str(number):
            change = {"metadata": {"annotations": {REVISION: str(number)}}}
            await self.patch(DEPLOYMENTS, deployment, change)
        return newest

    async def _resize(self, deployment: Object, newest: Object, *, paused: bool) -> None:
        owned = self.owned(deployment)
        by_name = {item["metadata"]["name"]: item for item in owned}
        old = [size_of(item) for item in by_age(owned) if objects.uid(item) != objects.uid(newest)]
        spec = deployment["spec"]
        bounds = rollouts.limits(spec)
        if paused:
            wanted = rollouts.resized(size_of(newest), bounds.replicas)
        elif (spec.get("strategy") or {}).get("type") == "Recreate":
            wanted = rollouts.recreate(size_of(newest), old, bounds.replicas)
        else:
            wanted = rollouts.rolling(size_of(newest), old, bounds)
        for name, replicas in wanted.items():
            change = {
                "metadata": {"annotations": {DESIRED: str(bounds.replicas), MAXIMUM: str(bounds.most)}},
                "spec": {"replicas": replicas},
            }
            before = size_of(by_name[name]).desired
            await self.patch(REPLICA_SETS, by_name[name], change)
            if before != replicas:
                way = "up" if replicas > before else "down"
                text = f"Scaled {way} replica set {name} from {before} to {replicas}"
                self.tell(deployment, "ScalingReplicaSet", text)

    async def _forget(self, deployment: Object, newest: Object) -> None:
        """Delete the oldest empty ReplicaSets beyond the history to be kept."""
        owned = self.owned(deployment)
        empty = [
            item
            for item in sorted(owned, key=_revision)
            if objects.uid(item) != objects.uid(newest)
            and not objects.deleting(item)
            and size_of(item).desired == size_of(item).running == 0
        ]
        excess = len(empty) - int(deployment["spec"].get("revisionHistoryLimit", HISTORY))
        for item in empty[: max(0, excess)]:
            metadata = item["metadata"]
            try:
                await self.client.delete(REPLICA_SETS, metadata["name"], metadata["namespace"], uid=metadata["uid"])
            except NotFoundError:
                continue

    async def _report(self, deployment: Object) -> float | None:
        current = self.find((deployment["metadata"]["namespace"], deployment["metadata"]["name"]))
        if current is None:
            return None
        owned = self.owned(deployment)
        status, wait = status_of(current, owned, find_newest(current, owned), objects.now())
        await self.write_status(current, status)
        return wait


def size_of(replica_set: Object) -> rollouts.Size:
    status = replica_set.get("status") or {}
    return rollouts.Size(
        name=replica_set["metadata"]["name"],
        desired=int(replica_set["spec"].get("replicas", 1)),
        running=int(status.get("replicas", 0)),
        available=int(status.get("availableReplicas", 0)),
    )


def by_age(replica_sets: Sequence[Object]) -> list[Object]:
    """Oldest revision first: the order in which a rollout empties them."""
    return sorted(replica_sets, key=_revision)


def find_newest(deployment: Object, owned: Sequence[Object]) -> Object | None:
    """The ReplicaSet whose template is the Deployment's own."""
    template = deployment["spec"]["template"]
    wanted = objects.without_label(template, objects.HASH_LABEL)
    digest = objects.template_hash(template)
    for item in owned:
        if objects.deleting(item):
            continue
        made_for = objects.labels(item).get(objects.HASH_LABEL) == digest
        if made_for or objects.without_label(item["spec"]["template"], objects.HASH_LABEL) == wanted:
            return item
    return None


def new_replica_set(deployment: Object, *, revision: int) -> Object:
    """An empty ReplicaSet for the Deployment's current template."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    bounds = rollouts.limits(spec)
    digest = objects.template_hash(spec["template"])
    template = objects.with_label(spec["template"], objects.HASH_LABEL, digest)
    selector = dict(spec.get("selector") or {})
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), objects.HASH_LABEL: digest}
    inherited: dict[str, Any] = {
        key: value for key, value in objects.annotations(deployment).items() if key not in NOT_INHERITED
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{digest}",
            "namespace": metadata["namespace"],
            "labels": dict(template["metadata"]["labels"]),
            "annotations": {
                **inherited,
                REVISION: str(revision),
                DESIRED: str(bounds.replicas),
                MAXIMUM: str(bounds.most),
            },
            "ownerReferences": [objects.owner_reference(deployment, kind=KIND, api_version="apps/v1")],
        },
        "spec": {
            "replicas": 0,
            "minReadySeconds": spec.get("minReadySeconds", 0),
            "selector": selector,
            "template": template,
        },
    }


def _revision(replica_set: Object) -> int:
    text = objects.annotations(replica_set).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def _last_revision(replica_sets: Sequence[Object]) -> int:
    return max((_revision(item) for item in replica_sets), default=0)
