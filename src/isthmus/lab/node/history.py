"""What a pod's status tells of its life under a node process before this one. Pure."""

from collections.abc import Mapping
from typing import Any

from isthmus.lab.client import Object

States = Mapping[str, Mapping[str, Any]]
"""By container: its state as the API server knows it."""


def states(pod: Object) -> States:
    return {one["name"]: one.get("state") or {} for one in _reports(pod)}


def finished(pod: Object) -> bool:
    """Whether it has ended for good, however it did."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def spent(pod: Object) -> bool:
    """Whether its containers have run the one time they may: what they did since is lost with the node process."""
    mains = (pod.get("status") or {}).get("containerStatuses") or ()
    return pod["spec"].get("restartPolicy") == "Never" and any(map(_started, mains))


def restart_counts(pod: Object) -> dict[str, int]:
    """How often each container has been restarted, once those that ran have been started again."""
    again = not spent(pod)
    return {one["name"]: int(one.get("restartCount") or 0) + (again and _started(one)) for one in _reports(pod)}


def _started(report: Object) -> bool:
    return bool(report.get("containerID"))


def _reports(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
