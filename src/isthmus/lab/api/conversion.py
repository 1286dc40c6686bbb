"""Built-in kinds that are served in another version than they are stored in.

HorizontalPodAutoscaler v1 for v2: what v1 has no field for is in annotations of v1 objects, so that reading and
writing one loses nothing. Event of events.k8s.io for that of the core group.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from isthmus.lab.api.contracts import Object

_ANNOTATION: Final = "autoscaling.alpha.kubernetes.io/"
_SHARED: Final = ("scaleTargetRef", "minReplicas", "maxReplicas")


def converted(obj: Object, api_version: str) -> Object:
    """The object in another version; versions that nothing here tells apart differ in name only."""
    change = _CHANGES.get((obj.get("apiVersion"), api_version))
    return (obj if change is None else change(obj)) | {"apiVersion": api_version}


def _first(obj: Object) -> Object:
    spec = obj.get("spec") or {}
    metrics = list(spec.get("metrics") or ())
    cpu = next((metric for metric in metrics if _cpu_target(metric) is not None), None)
    plain = {field: spec[field] for field in _SHARED if field in spec}
    if cpu is not None:
        plain["targetCPUUtilizationPercentage"] = _cpu_target(cpu)
    rest = {"metrics": [metric for metric in metrics if metric is not cpu], "behavior": spec.get("behavior")}
    told = {_ANNOTATION + field: msgspec.json.encode(value).decode() for field, value in rest.items() if value}
    annotations = {**(obj["metadata"].get("annotations") or {}), **told}
    metadata = obj["metadata"] | ({"annotations": annotations} if told else {})
    return obj | {"metadata": metadata, "spec": plain}


def _second(obj: Object) -> Object:
    spec = obj.get("spec") or {}
    full = {field: spec[field] for field in _SHARED if field in spec}
    annotations = dict(obj["metadata"].get("annotations") or {})
    metrics = _told(annotations.pop(f"{_ANNOTATION}metrics", ""), list)
    percent = spec.get("targetCPUUtilizationPercentage")
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}, *(metrics or [])]
    rest = {"metrics": metrics, "behavior": _told(annotations.pop(f"{_ANNOTATION}behavior", ""), dict)}
    metadata = {key: value for key, value in obj["metadata"].items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    return obj | {"metadata": metadata, "spec": full | {field: value for field, value in rest.items() if value}}


def _cpu_target(metric: Any) -> int | None:
    resource = metric.get("resource") or {}
    found = (resource.get("target") or {}).get("averageUtilization") if resource.get("name") == "cpu" else None
    return found if isinstance(found, int) else None


def _told(text: str, kind: type) -> Any:
    """What an annotation says; nothing if it is not what was written there."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    return value if isinstance(value, kind) else None


_EVENT: Final = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
"""What fields of an Event of events.k8s.io are called in the core group."""
_CORE_EVENT: Final = {core: new for new, core in _EVENT.items()}


def _renamed(names: Mapping[str, str]) -> Callable[[Object], Object]:
    return lambda obj: {names.get(field, field): value for field, value in obj.items()}


_CHANGES: Final[dict[tuple[Any, str], Callable[[Object], Object]]] = {
    ("autoscaling/v2", "autoscaling/v1"): _first,
    ("autoscaling/v1", "autoscaling/v2"): _second,
    ("events.k8s.io/v1", "v1"): _renamed(_EVENT),
    ("v1", "events.k8s.io/v1"): _renamed(_CORE_EVENT),
}
