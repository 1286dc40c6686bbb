"""A pod's status from the states of its containers, by the rules Kubernetes documents. Pure: no clock, no I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from isthmus.lab.client import Object


class Role(StrEnum):
    """What a container is in its pod."""

    INIT = "init"
    SIDECAR = "sidecar"
    MAIN = "main"


_WAITING: Final[Mapping[str, Any]] = {"waiting": {"reason": "PodInitializing"}}


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container as it is now. `state` and `last_state` are as the Kubernetes API shows them."""

    name: str
    role: Role
    image: str
    state: Mapping[str, Any] = field(default_factory=lambda: _WAITING)
    last_state: Mapping[str, Any] = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""

    @property
    def running(self) -> bool:
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        """How it ended; also for a container that waits to be started again."""
        for state in (self.state, self.last_state if "waiting" in self.state else {}):
            if "terminated" in state:
                return int(state["terminated"]["exitCode"])
        return None

    @property
    def ended(self) -> bool:
        """It will not run again (given that nobody starts it): terminated and not waiting."""
        return "terminated" in self.state


def role_of(container: Mapping[str, Any], *, init: bool) -> Role:
    if not init:
        return Role.MAIN
    return Role.SIDECAR if container.get("restartPolicy") == "Always" else Role.INIT


def restarts(role: Role, policy: str, exit_code: int) -> bool:
    """Whether a container that ended so is started again."""
    table = {
        Role.SIDECAR: {"Always": True, "OnFailure": True, "Never": True},
        Role.INIT: {"Always": exit_code != 0, "OnFailure": exit_code != 0, "Never": False},
        Role.MAIN: {"Always": True, "OnFailure": exit_code != 0, "Never": False},
    }
    return table[role][policy]


def initialized(views: Iterable[ContainerView]) -> bool:
    """Whether every init container has done its work and every sidecar has started."""
    return all(
        (view.ended and view.exit_code == 0) if view.role is Role.INIT else (view.started or view.ended)
        for view in views
        if view.role is not Role.MAIN
    )


def phase(views: Sequence[ContainerView], policy: str) -> str:
    """Pending, Running, Succeeded or Failed."""
    inits = [view for view in views if view.role is Role.INIT]
    sidecars = [view for view in views if view.role is Role.SIDECAR]
    mains = [view for view in views if view.role is Role.MAIN]
    over = all(view.ended for view in sidecars)
    if policy == "Never" and any(view.ended and view.exit_code for view in inits):
        return "Failed" if over and not any(view.running for view in mains) else "Pending"
    if any(view.exit_code is None and not view.running for view in mains):
        return "Pending"
    if policy == "Always" or any(view.running for view in mains) or not all(view.ended for view in mains):
        return "Running"
    if not over:
        return "Running"
    failed = any(view.exit_code for view in mains)
    if failed and policy == "OnFailure":
        return "Running"
    return "Failed" if failed else "Succeeded"


def conditions(
    views: Sequence[ContainerView], *, phase: str, sandbox: bool, gates: Iterable[str], seen: Sequence[Object]
) -> list[tuple[str, bool, str, str]]:
    """Type, truth, reason and message of the conditions this node sets, in the order Kubernetes shows them."""
    done = phase in ("Succeeded", "Failed")
    lasting = [view for view in views if view.role is not Role.INIT]
    unready = [view.name for view in lasting if not view.ready]
    pending = [view.name for view in views if view.role is not Role.MAIN and not initialized([view])]
    open_gates = [gate for gate in gates if not _true(seen, gate)]
    if done:
        not_ready = ("PodCompleted", "") if phase == "Succeeded" else ("PodFailed", "")
    else:
        not_ready = ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    ready = not unready and not done
    gate = ("ReadinessGatesNotReady", f"corresponding condition of pod readiness gate {open_gates} is not true")
    return [
        ("PodReadyToStartContainers", sandbox and not done, "", ""),
        (
            "Initialized",
            not pending,
            "ContainersNotInitialized" if pending else ("PodCompleted" if phase == "Succeeded" else ""),
            f"containers with incomplete status: [{' '.join(pending)}]" if pending else "",
        ),
        (
            "Ready",
            ready and not open_gates,
            *(("", "") if ready and not open_gates else not_ready if not ready else gate),
        ),
        ("ContainersReady", ready, *(("", "") if ready else not_ready)),
        ("PodScheduled", True, "", ""),
    ]


def _true(seen: Iterable[Object], kind: str) -> bool:
    return any(one.get("type") == kind and one.get("status") == "True" for one in seen)


def merge_conditions(
    wanted: Iterable[tuple[str, bool, str, str]], seen: Sequence[Object], now: str
) -> list[dict[str, Any]]:
    """The conditions to report: others' kept, times kept where the truth is unchanged."""
    known = {one["type"]: one for one in seen}
    result = []
    for kind, truth, reason, message in wanted:
        status = "True" if truth else "False"
        old = known.pop(kind, {})
        since = old.get("lastTransitionTime") if old.get("status") == status else now
        entry = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since or now}
        result.append(entry | ({"reason": reason} if reason else {}) | ({"message": message} if message else {}))
    return result + [dict(one) for one in known.values()]


def container_status(view: ContainerView) -> dict[str, Any]:
    """One entry of `containerStatuses` or `initContainerStatuses`."""
    ready = view.ready or (view.role is Role.INIT and view.ended and view.exit_code == 0)
    return {
        "name": view.name,
        "image": view.image,
        "imageID": view.image if view.container_id else "",
        "state": dict(view.state),
        "lastState": dict(view.last_state),
        "ready": ready,
        "started": view.started,
        "restartCount": view.restarts,
    } | ({"containerID": view.container_id} if view.container_id else {})


def pod_status(
    pod: Object,
    views: Sequence[ContainerView],
    *,
    pod_ip: str,
    node_ip: str,
    started_at: str,
    now: str,
    seen: Sequence[Object],
) -> dict[str, Any]:
    """The whole status. `seen` are the conditions reported before."""
    spec = pod["spec"]
    current = phase(views, spec.get("restartPolicy") or "Always")
    gates = [gate["conditionType"] for gate in spec.get("readinessGates") or ()]
    wanted = conditions(views, phase=current, sandbox=bool(pod_ip), gates=gates, seen=seen)
    status: dict[str, Any] = {
        "phase": current,
        "conditions": merge_conditions(wanted, seen, now),
        "hostIP": node_ip,
        "hostIPs": [{"ip": node_ip}],
        "startTime": started_at,
        "qosClass": "BestEffort",
        "containerStatuses": [container_status(view) for view in views if view.role is Role.MAIN],
    }
    if spec.get("initContainers"):
        status["initContainerStatuses"] = [container_status(view) for view in views if view.role is not Role.MAIN]
    if pod_ip:
        status |= {"podIP": pod_ip, "podIPs": [{"ip": pod_ip}]}
    return status
