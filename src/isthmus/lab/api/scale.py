"""The scale subresource: an autoscaling/v1 Scale as a window on spec.replicas."""

from collections.abc import Mapping
from typing import Any, Final

from isthmus.lab.api.contracts import Object, ResourceInfo
from isthmus.lab.api.status import bad_request

INFO: Final = ResourceInfo("autoscaling", "v1", "scales", "Scale", True)

_DEFAULT_PATHS: Final = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": "",
}


def view(obj: Object, paths: Mapping[str, str]) -> Object:
    """The Scale of an object."""
    paths = {**_DEFAULT_PATHS, **paths}
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {"replicas": _read(obj, paths["statusReplicasPath"]) or 0}
    selector = _selector(obj, paths["labelSelectorPath"])
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": _read(obj, paths["specReplicasPath"]) or 0},
        "status": status,
    }


def scaled(obj: Object, scale: Any, paths: Mapping[str, str]) -> Object:
    """The object with the replicas a Scale asks for; raises `ApiError` 400."""
    spec = scale.get("spec") if isinstance(scale, dict) else None
    replicas = spec.get("replicas", 0) if isinstance(spec, dict) else 0
    if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 0:
        raise bad_request(f"spec.replicas: Invalid value: {replicas}: must be a number greater than or equal to 0")
    metadata = scale.get("metadata") or {}
    revision = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    changed = _written(obj, _steps({**_DEFAULT_PATHS, **paths}["specReplicasPath"]), replicas)
    return changed | {"metadata": changed["metadata"] | ({"resourceVersion": revision} if revision else {})}


def _steps(path: str) -> list[str]:
    return [step for step in path.split(".") if step]


def _read(obj: Any, path: str) -> Any:
    for step in _steps(path):
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def _written(obj: Object, steps: list[str], value: Any) -> Object:
    head, *rest = steps
    return obj | {head: _written(obj.get(head) or {}, rest, value) if rest else value}


def _selector(obj: Object, path: str) -> str:
    if path:
        return str(_read(obj, path) or "")
    labels = _read(obj, ".spec.selector.matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
