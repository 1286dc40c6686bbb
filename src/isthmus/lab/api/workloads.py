"""What is wrong with a pod or a workload that its types allow."""

from isthmus.lab.api.contracts import Object, ResourceInfo

Problem = tuple[str, str]


def problems(info: ResourceInfo, obj: Object) -> list[Problem]:
    spec = obj.get("spec") or {}
    if (info.group, info.kind) == ("", "Pod"):
        return _container_problems(spec, "spec")
    if info.group != "apps" or info.kind not in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"):
        return []
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
