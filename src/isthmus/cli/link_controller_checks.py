"""Does a Link controller run, and keep what the Links say true? Everything that Links say is as old as its last one."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from isthmus import names
from isthmus.cli.control_plane import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, COMPONENTS, PODS
from isthmus.cli.health import Problem, Settled
from isthmus.cli.stuck_links import stuck
from isthmus.kube import errors
from isthmus.kube.kinds import DEPLOYMENTS, LEASES, Object

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

INSTALL: Final = "run `linkerd multicluster install | kubectl apply -f -`"
NAME: Final = names.MULTICLUSTER_CONTROLLER
_LOOKS: Final = 7
_BETWEEN_LOOKS: Final = 0.5
"""A holder renews its Lease every two seconds: so long is watched whether one that looks old is renewed after all."""
_HOPELESS: Final = frozenset(
    {"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "CreateContainerConfigError"}
)


class LinkControllers:
    """The controllers of one cluster. `silent` is why nobody keeps the Links' status true, "" while somebody does."""

    def __init__(self, client: "SyncClient", namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.silent = ""
        self.control_plane_problem = ""

    def require_control_plane(self) -> None:
        """Without it no pod of the extension gets a certificate, its configuration, or is even made."""
        self.control_plane_problem = ""
        for name in COMPONENTS:
            what = f"Deployment {names.CONTROL_PLANE_NAMESPACE}/{name}"
            try:
                deployment = self.client.get(DEPLOYMENTS, name, names.CONTROL_PLANE_NAMESPACE)
            except errors.NotFound:
                self.control_plane_problem = f"{what} does not exist"
                raise Settled(f"{what} does not exist: run `linkerd install | kubectl apply -f -`") from None
            if not _ready_replicas(deployment):
                self.control_plane_problem = f"{what} has no ready replica"
                raise Problem(f"{what} has no ready replica, {_WITHOUT[name]}: `linkerd check` tells more")

    def require_permissions(self) -> None:
        name = f"linkerd-{NAME}"
        for kind in (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS):
            try:
                self.client.get(kind, name)
            except errors.NotFound:
                raise Problem(f"{kind.kind} {name} does not exist: {INSTALL}") from None

    def require_running(self) -> None:
        self.silent = ""
        try:
            self._require_ready()
            self._require_leader()
        except Problem as problem:
            self.silent = str(problem)
            raise

    def _require_ready(self) -> None:
        what = f"Deployment {self.namespace}/{NAME}"
        try:
            deployment = self.client.get(DEPLOYMENTS, NAME, self.namespace)
        except errors.NotFound:
            raise Settled(f"{what} does not exist: {stuck(self.client, self.namespace) or INSTALL}") from None
        if (deployment.get("spec") or {}).get("replicas") == 0:
            raise Settled(f"{what} is scaled to 0: `kubectl -n {self.namespace} scale deploy/{NAME} --replicas 1`")
        if _ready_replicas(deployment):
            return
        label = f"{names.COMPONENT_LABEL}=multicluster-controller"
        pods = self.client.list(PODS, self.namespace, labels=label)
        for pod in pods:
            if not pod["metadata"].get("deletionTimestamp"):
                require_no_crash(pod)
        see = f"see `kubectl -n {self.namespace} get pods,events`"
        raise Problem(
            f"{what} has no ready replica, but {len(pods)} that starts: {see}" if pods else f"{what} has no pod: {see}"
        )

    def _require_leader(self) -> None:
        """That the Lease is held by somebody who renews it: a controller may be ready, and hang."""
        lease = self._lease()
        spec = lease.get("spec") or {}
        if not spec.get("holderIdentity"):
            raise Problem(f"no controller leads (Lease {self.namespace}/{NAME} has no holder): one does within seconds")
        age = (self.client.clock() - datetime.fromisoformat(spec["renewTime"])).total_seconds()
        if age <= int(spec.get("leaseDurationSeconds") or 0) or self._is_renewed(lease):
            return
        raise Problem(
            f"{spec['holderIdentity']} leads, but has not renewed Lease {self.namespace}/{NAME} for {age:.0f} s: it "
            "hangs, or does not reach the API server. "
            f"`kubectl -n {self.namespace} rollout restart deploy/{NAME}` replaces it"
        )

    def _lease(self) -> Object:
        try:
            return self.client.get(LEASES, NAME, self.namespace)
        except errors.NotFound:
            raise Problem(f"no controller leads yet (Lease {self.namespace}/{NAME} does not exist)") from None

    def _is_renewed(self, lease: Object) -> bool:
        """Whether it is while we look: clocks of nodes and API servers may differ."""
        version = lease["metadata"]["resourceVersion"]
        for _ in range(_LOOKS):
            time.sleep(_BETWEEN_LOOKS)
            if self._lease()["metadata"]["resourceVersion"] != version:
                return True
        return False


_WITHOUT: Final = {
    names.IDENTITY_DEPLOYMENT: "so no proxy gets or renews its certificate",
    names.DESTINATION_DEPLOYMENT: "so no proxy learns where to connect to",
    names.INJECTOR_DEPLOYMENT: "so no pod of a mesh can start",
}


def require_no_crash(pod: Object) -> None:
    """Raises when a container of the pod cannot start, or ended again and again, and says how it ended."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    for container in _containers(pod):
        waiting = str((container.get("state") or {}).get("waiting", {}).get("reason") or "")
        ended = (container.get("lastState") or {}).get("terminated") or {}
        what = f"container {container['name']} of pod {namespace}/{name}"
        if ended and not container.get("ready"):
            how = f"exit code {ended.get('exitCode')}, {ended.get('reason') or 'no reason given'}"
            told = (
                f"{what} crashes: it ended {container.get('restartCount', 1)} times, at last with {how}. "
                f"`kubectl -n {namespace} logs {name} -c {container['name']} --previous` says why"
            )
            raise Problem(told)
        if waiting in _HOPELESS:
            message = str(container["state"]["waiting"].get("message") or "")
            raise Problem(f"{what} cannot start: {waiting}{f': {message}' if message else ''}")


def _containers(pod: Object) -> Iterator[dict[str, Any]]:
    status = pod.get("status") or {}
    for kind in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(kind) or ()


def _ready_replicas(deployment: Object) -> int:
    return int((deployment.get("status") or {}).get("readyReplicas") or 0)
