"""What is wrong with an object, or with a change of it, that the types of its fields allow."""

import re
from collections.abc import Callable
from typing import Final

from isthmus.lab.api import podrules
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
_KEY: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_KEY_WORDS: Final = "alphanumeric characters, '-', '_' or '.'"
_MOST_DATA: Final = 1024 * 1024
_MOST_ANNOTATIONS: Final = 256 * 1024
_OF_SERVICE: Final = {
    "type": ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"),
    "sessionAffinity": ("ClientIP", "None"),
    "externalTrafficPolicy": ("Cluster", "Local"),
    "internalTrafficPolicy": ("Cluster", "Local"),
}
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
    size = sum(len(key) + len(value) for key, value in (metadata.get("annotations") or {}).items())
    if size > _MOST_ANNOTATIONS:
        found.append(("metadata.annotations", f"Too long: may not be more than {_MOST_ANNOTATIONS} bytes"))
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
    found = list(podrules.unsupported(spec, _OF_SERVICE, "spec"))
    if spec.get("type") == "ExternalName" and not spec.get("externalName"):
        found.append(("spec.externalName", "Required value"))
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        found.append(("spec.ports", "Required value"))
    for index, port in enumerate(ports):
        found += podrules.unsupported(port, podrules.PROTOCOLS, f"spec.ports[{index}]")
        if not 1 <= port["port"] <= 65535:
            why = f"Invalid value: {port['port']}: must be between 1 and 65535, inclusive"
            found.append((f"spec.ports[{index}].port", why))
        if len(ports) > 1 and not port.get("name"):
            found.append((f"spec.ports[{index}].name", "Required value"))
    return found


def _pod(obj: Object) -> list[Problem]:
    return podrules.problems(obj.get("spec") or {}, "spec")


def _workload(obj: Object) -> list[Problem]:
    spec = obj.get("spec") or {}
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates") or ()]
    found = podrules.problems(template.get("spec") or {}, "spec.template.spec", claims)
    if not wanted and not get(spec, "selector", "matchExpressions"):
        found.append(("spec.selector", "Invalid value: {}: empty selector is invalid for " + obj["kind"].lower()))
    if get(spec, "strategy", "type") == "Recreate" and get(spec, "strategy", "rollingUpdate"):
        why = "Forbidden: may not be specified when strategy `type` is 'Recreate'"
        found.append(("spec.strategy.rollingUpdate", why))
    if any(labels.get(key) != value for key, value in wanted.items()):
        found.append(
            ("spec.template.metadata.labels", f"Invalid value: {labels}: `selector` does not match template `labels`")
        )
    if isinstance(spec.get("replicas"), int) and spec["replicas"] < 0:
        found.append(("spec.replicas", f"Invalid value: {spec['replicas']}: must be greater than or equal to 0"))
    return found


def _job(obj: Object) -> list[Problem]:
    nested = obj["kind"] == "CronJob"
    path = "spec.jobTemplate.spec.template.spec" if nested else "spec.template.spec"
    spec = get(obj, *path.split(".")) or {}
    found = podrules.problems(spec, path)
    if spec.get("restartPolicy") == "Always":
        found.append((f"{path}.restartPolicy", 'Required value: valid values: "OnFailure", "Never"'))
    return found


def _sized(obj: Object) -> list[Problem]:
    """Of a ConfigMap or Secret: the names of its entries, and how much it holds."""
    fields = ("data", "binaryData")
    found = [
        (f"{field}[{key}]", f'Invalid value: "{key}": a valid config key must consist of {_KEY_WORDS}')
        for field in fields
        for key in obj.get(field) or {}
        if not _KEY.fullmatch(key)
    ]
    plain, encoded = (sum(len(value) for value in (obj.get(field) or {}).values()) for field in fields)
    total = plain * 3 // 4 if obj["kind"] == "Secret" else plain + encoded * 3 // 4
    return found + ([("", f"Too long: may not be more than {_MOST_DATA} bytes")] if total > _MOST_DATA else [])


def _namespace(obj: Object) -> list[Problem]:
    name = obj["metadata"].get("name", "")
    good = podrules.DNS_LABEL.fullmatch(name)
    return [] if good else [("metadata.name", f'Invalid value: "{name}": {podrules.LABEL_WORDS}')]


_CHECKS: Final[dict[tuple[str, str], Callable[[Object], list[Problem]]]] = {
    ("", "Pod"): _pod,
    ("", "Event"): _event,
    ("", "ConfigMap"): _sized,
    ("", "Secret"): _sized,
    ("", "Namespace"): _namespace,
    **{("batch", kind): _job for kind in ("Job", "CronJob")},
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
