"""What is wrong with an object, or with a change of it, that the types of its fields allow."""

import re
from collections.abc import Callable
from typing import Final

from isthmus.lab.api.contracts import Object, ResourceInfo
from isthmus.lab.api.reading import get

Problem = tuple[str, str]

_LABEL_VALUE: Final = re.compile(r"(?=.{0,63}$)([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?")
_QUALIFIED_NAME: Final = re.compile(
    r"((?=[^/]{1,253}/)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?"
    r"(?=[^/]{1,63}$)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
)
_CHARACTERS: Final = (
    "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character, "
    "and be no more than 63 characters"
)
_NAME_WORDS: Final = f"name part must consist of {_CHARACTERS}, with an optional DNS subdomain prefix and '/'"
_VALUE_WORDS: Final = f"a valid label must be an empty string or consist of {_CHARACTERS}"


def problems(info: ResourceInfo, obj: Object) -> list[Problem]:
    """What is wrong with an object of a built-in kind, as (field path, what)."""
    check = _CHECKS.get((info.group, info.kind))
    return metadata_problems(obj) + (check(obj) if check else [])


def metadata_problems(obj: Object) -> list[Problem]:
    """What is wrong with the labels, annotations and owners of any object."""
    metadata = obj["metadata"]
    found = []
    for field in ("labels", "annotations"):
        for key, value in (metadata.get(field) or {}).items():
            if not _QUALIFIED_NAME.fullmatch(key if field == "labels" else key.lower()):
                found.append((f"metadata.{field}", f'Invalid value: "{key}": {_NAME_WORDS}'))
            elif field == "labels" and not _LABEL_VALUE.fullmatch(value):
                found.append((f"metadata.{field}", f'Invalid value: "{value}": {_VALUE_WORDS}'))
    return found + _owner_problems(metadata.get("ownerReferences") or [])


def _owner_problems(owners: list[Object]) -> list[Problem]:
    found = [
        (f"metadata.ownerReferences[{index}].{field}", f'Invalid value: "": {field} must not be empty')
        for index, owner in enumerate(owners)
        for field in ("apiVersion", "kind", "name", "uid")
        if not owner.get(field)
    ]
    if sum(bool(owner.get("controller")) for owner in owners) > 1:
        why = "Invalid value: Only one reference can have Controller set to true"
        found.append(("metadata.ownerReferences", why))
    return found


def _lease(obj: Object) -> list[Problem]:
    seconds = get(obj, "spec", "leaseDurationSeconds")
    if seconds is None or seconds > 0:
        return []
    return [("spec.leaseDurationSeconds", f"Invalid value: {seconds}: must be greater than 0")]


def _event(obj: Object) -> list[Problem]:
    about = get(obj, "involvedObject", "namespace") or "default"
    if about == obj["metadata"].get("namespace"):
        return []
    return [("involvedObject.namespace", f'Invalid value: "{about}": does not match event.namespace')]


def _service(obj: Object) -> list[Problem]:
    spec = obj["spec"]
    ports = spec.get("ports") or []
    found = []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        found.append(("spec.ports", "Required value"))
    for index, port in enumerate(ports):
        if not 1 <= port["port"] <= 65535:
            why = f"Invalid value: {port['port']}: must be between 1 and 65535, inclusive"
            found.append((f"spec.ports[{index}].port", why))
        if len(ports) > 1 and not port.get("name"):
            found.append((f"spec.ports[{index}].name", "Required value"))
    return found


def _pod(obj: Object) -> list[Problem]:
    return _container_problems(obj.get("spec") or {}, "spec")


def _workload(obj: Object) -> list[Problem]:
    spec = obj.get("spec") or {}
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    found = _container_problems(template.get("spec") or {}, "spec.template.spec")
    if any(labels.get(key) != value for key, value in wanted.items()):
        found.append(
            ("spec.template.metadata.labels", f"Invalid value: {labels}: `selector` does not match template `labels`")
        )
    if isinstance(spec.get("replicas"), int) and spec["replicas"] < 0:
        found.append(("spec.replicas", f"Invalid value: {spec['replicas']}: must be greater than or equal to 0"))
    return found


def _container_problems(spec: Object, path: str) -> list[Problem]:
    found = [] if spec.get("containers") else [(f"{path}.containers", "Required value")]
    seen: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            where = f"{path}.{field}[{index}]"
            if not container.get("image"):
                found.append((f"{where}.image", "Required value"))
            if container["name"] in seen:
                found.append((f"{where}.name", f'Duplicate value: "{container["name"]}"'))
            seen.add(container["name"])
    return found


_CHECKS: Final[dict[tuple[str, str], Callable[[Object], list[Problem]]]] = {
    ("", "Pod"): _pod,
    ("", "Event"): _event,
    ("", "Service"): _service,
    ("coordination.k8s.io", "Lease"): _lease,
    **{("apps", kind): _workload for kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet")},
}

_FOREVER: Final = {
    ("apps", "Deployment"): ("spec", "selector"),
    ("apps", "ReplicaSet"): ("spec", "selector"),
    ("apps", "StatefulSet"): ("spec", "selector"),
    ("apps", "DaemonSet"): ("spec", "selector"),
    ("batch", "Job"): ("spec", "template"),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("", "Secret"): ("type",),
}
_ON_REQUEST: Final = {("", "ConfigMap"): ("data", "binaryData"), ("", "Secret"): ("data",)}
"""Kinds that can be declared `immutable`, and what that is about."""


def change_problems(info: ResourceInfo, old: Object, new: Object) -> list[Problem]:
    """What an update of an object may not do."""
    kind = (info.group, info.kind)
    path = _FOREVER.get(kind, ())
    found = (
        [(".".join(path), "Invalid value: field is immutable")] if path and get(old, *path) != get(new, *path) else []
    )
    if kind in _ON_REQUEST and old.get("immutable"):
        fields = [field for field in _ON_REQUEST[kind] if old.get(field) != new.get(field)]
        fields += [] if new.get("immutable") else ["immutable"]
        found += [(field, "Forbidden: field is immutable when `immutable` is set") for field in fields]
    added = [name for name in _finalizers(new) if name not in _finalizers(old)]
    if old["metadata"].get("deletionTimestamp") and added:
        why = f"Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {added}"
        found.append(("metadata.finalizers", why))
    return found


def _finalizers(obj: Object) -> list[str]:
    return obj["metadata"].get("finalizers") or []
