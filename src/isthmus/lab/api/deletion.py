"""How objects end: finalizers, grace periods, propagation, namespaces."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from isthmus.lab import stamps
from isthmus.lab.api import transient
from isthmus.lab.api.contracts import Object, ResourceInfo
from isthmus.lab.api.status import bad_request, conflict, invalid_options

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
CUSTOM_CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"
_PROPAGATION: Final = {"Foreground": FOREGROUND, "Orphan": ORPHAN, "Background": ""}
_LONGEST_GRACE: Final = 1 << 31
_FINISHED: Final = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Request:
    """DeleteOptions."""

    grace: int | None = None
    propagation: str = ""
    uid: str = ""
    revision: str = ""


def parse(body: Any, query: Any) -> Request:
    """DeleteOptions from a body (an object or nothing) and query parameters; raises `ApiError` 400 or 422."""
    body = transient.checked("DeleteOptions", body, transient.Options)
    grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy") or ""
    if not propagation and (body.get("orphanDependents") or query.get("orphanDependents") == "true"):
        propagation = "Orphan"
    if propagation and propagation not in _PROPAGATION:
        listed = ", ".join(f'"{policy}"' for policy in _PROPAGATION)
        why = f'Unsupported value: "{propagation}": supported values: {listed}'
        raise invalid_options("DeleteOptions", [("propagationPolicy", why)])
    preconditions = body.get("preconditions") or {}
    try:
        seconds = None if grace is None else min(max(0, int(grace)), _LONGEST_GRACE)
    except ValueError:
        raise bad_request("gracePeriodSeconds must be an integer") from None
    return Request(
        grace=seconds,
        propagation=propagation,
        uid=str(preconditions.get("uid") or ""),
        revision=str(preconditions.get("resourceVersion") or ""),
    )


def check_preconditions(info: ResourceInfo, obj: Object, request: Request) -> None:
    metadata = obj["metadata"]
    for label, wanted, have in (
        ("UID", request.uid, metadata["uid"]),
        ("ResourceVersion", request.revision, metadata["resourceVersion"]),
    ):
        if wanted and wanted != have:
            why = f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {have}"
            raise conflict(info, metadata["name"], why)


def mark(info: ResourceInfo, obj: Object, request: Request) -> Object:
    """The object as a delete request leaves it, before anyone asks whether that ended it."""
    metadata: dict[str, Any] = dict(obj["metadata"])
    grace = _grace(info, obj, request)
    first = not metadata.get("deletionTimestamp")
    if first:
        metadata["deletionTimestamp"] = _after(grace)
        metadata["generation"] = int(metadata.get("generation") or 0) + 1
        metadata["deletionGracePeriodSeconds"] = grace
        finalizer = _PROPAGATION.get(request.propagation, "")
        if finalizer:
            metadata["finalizers"] = list(dict.fromkeys([*(metadata.get("finalizers") or []), finalizer]))
    elif grace < int(metadata.get("deletionGracePeriodSeconds") or 0):
        metadata["deletionTimestamp"] = _after(grace)
        metadata["deletionGracePeriodSeconds"] = grace
    marked = obj | {"metadata": metadata}
    if (info.group, info.kind) == ("", "Namespace"):
        marked["status"] = (obj.get("status") or {}) | {"phase": "Terminating"}
    return marked


def is_over(info: ResourceInfo, obj: Object) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if (info.group, info.kind) == ("", "Namespace"):
        return not (obj.get("spec") or {}).get("finalizers")
    return not metadata.get("deletionGracePeriodSeconds")


def _grace(info: ResourceInfo, obj: Object, request: Request) -> int:
    """Only pods that a kubelet has seen end gracefully."""
    if (info.group, info.kind) != ("", "Pod"):
        return 0
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in _FINISHED:
        return 0
    if request.grace is not None:
        return request.grace
    seconds = spec.get("terminationGracePeriodSeconds")
    return 30 if seconds is None else int(seconds)


def _after(seconds: int) -> str:
    return stamps.written(datetime.now(UTC) + timedelta(seconds=seconds))
