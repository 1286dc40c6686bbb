"""What `kubectl get pods` says about a pod in one word, and how many of its containers are ready."""

from isthmus.lab.api.contracts import Object
from isthmus.lab.api.reading import age, get, items


def ready(pod: Object) -> str:
    statuses = items(pod, "status", "containerStatuses")
    sidecars = _sidecars(pod)
    ready = sum(1 for status in statuses if status.get("ready"))
    ready += sum(
        1
        for status in items(pod, "status", "initContainerStatuses")
        if status.get("name") in sidecars and status.get("ready")
    )
    return f"{ready}/{len(items(pod, 'spec', 'containers')) + len(sidecars)}"


def _sidecars(pod: Object) -> set[str]:
    containers = items(pod, "spec", "initContainers")
    return {container["name"] for container in containers if container.get("restartPolicy") == "Always"}


def status(pod: Object) -> str:
    """Phase or the reason that says more, with init containers and deletion taken into account."""
    reason = get(pod, "status", "reason") or get(pod, "status", "phase") or "Unknown"
    sidecars = _sidecars(pod)
    init = items(pod, "status", "initContainerStatuses")
    initializing = False
    for index, status in enumerate(init):
        state = status.get("state") or {}
        if get(state, "terminated", "exitCode") == 0:
            continue
        if status.get("name") in sidecars and status.get("started"):
            continue
        waiting = get(state, "waiting", "reason")
        if "terminated" in state:
            ended = state["terminated"] or {}
            reason = f"Init:{ended.get('reason') or 'ExitCode:' + str(ended.get('exitCode'))}"
        elif waiting and waiting != "PodInitializing":
            reason = f"Init:{waiting}"
        else:
            reason = f"Init:{index}/{len(items(pod, 'spec', 'initContainers'))}"
        initializing = True
        break
    if not initializing:
        reason = _container_reason(pod, reason)
    if get(pod, "metadata", "deletionTimestamp"):
        return "Terminating"
    return str(reason)


def _container_reason(pod: Object, reason: str) -> str:
    running = False
    for status in reversed(items(pod, "status", "containerStatuses")):
        state = status.get("state") or {}
        waiting, ended = get(state, "waiting", "reason"), state.get("terminated")
        if waiting:
            reason = waiting
        elif isinstance(ended, dict):
            signal = ended.get("signal")
            reason = ended.get("reason") or (f"Signal:{signal}" if signal else f"ExitCode:{ended.get('exitCode')}")
        elif "running" in state and status.get("ready"):
            running = True
    if reason == "Completed" and running:
        return "Running"
    return reason


def restarts(pod: Object) -> str:
    sidecars = _sidecars(pod)
    statuses = [status for status in items(pod, "status", "initContainerStatuses") if status.get("name") in sidecars]
    statuses += items(pod, "status", "containerStatuses")
    count = sum(int(status.get("restartCount") or 0) for status in statuses)
    ended = [get(status, "lastState", "terminated", "finishedAt") for status in statuses]
    last = max((stamp for stamp in ended if stamp), default=None)
    return f"{count} ({age(last)} ago)" if count and last else str(count)


def readiness_gates(pod: Object) -> str:
    gates = items(pod, "spec", "readinessGates")
    if not gates:
        return "<none>"
    true = {c.get("type") for c in items(pod, "status", "conditions") if c.get("status") == "True"}
    return f"{sum(1 for gate in gates if gate.get('conditionType') in true)}/{len(gates)}"
