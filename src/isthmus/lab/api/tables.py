"""Server-side tables: what `kubectl get` prints, one list of columns per kind."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from isthmus.lab.api.contracts import Object, ResourceInfo

Cell = Callable[[Object], Any]


@dataclass(frozen=True)
class Column:
    """One column; `wide` ones show up with `-o wide` only."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    wide: bool = False
    description: str = ""

    def definition(self) -> Object:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": 1 if self.wide else 0,
        }


def table(
    columns: Sequence[Column], objects: Sequence[Object], *, metadata: Object, include: str, headers: bool = True
) -> Object:
    """A `Table` of objects. `include` is None, Metadata or Object: what each row carries of its object."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [column.definition() for column in columns] if headers else [],
        "rows": [_row(columns, obj, include) for obj in objects],
    }


def _row(columns: Sequence[Column], obj: Object, include: str) -> Object:
    row: Object = {"cells": [column.cell(obj) for column in columns]}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = partial(obj)
    return row


def partial(obj: Object) -> Object:
    """An object's metadata on its own."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def columns_for(info: ResourceInfo, printer_columns: Sequence[Object]) -> list[Column]:
    """The columns of a kind; `printer_columns` are those of a custom resource's definition."""
    if info.custom:
        return [_NAME, *map(_printer_column, printer_columns), *([] if printer_columns else [_AGE])]
    return [_NAME, *_COLUMNS.get((info.group, info.kind), ()), *_LAST.get((info.group, info.kind), (_AGE,))]


# --- reading ------------------------------------------------------------------------------------------------------
def _get(obj: Any, *path: str) -> Any:
    for step in path:
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def _items(obj: Any, *path: str) -> list[Any]:
    found = _get(obj, *path)
    return found if isinstance(found, list) else []


def _at(*path: str, default: Any = "<none>") -> Cell:
    def cell(obj: Object) -> Any:
        value = _get(obj, *path)
        return default if value is None or value == "" else value

    return cell


def _count(*path: str) -> Cell:
    return lambda obj: len(_get(obj, *path) or ())


def age(stamp: Any) -> str:
    """How long ago, as kubectl words it: 45s, 3m10s, 5h, 12d."""
    try:
        then = datetime.fromisoformat(str(stamp).replace("Z", "+00:00"))
    except ValueError:
        return "<unknown>"
    return duration(max(0, int((datetime.now(UTC) - then).total_seconds())))


def duration(seconds: int) -> str:
    """Seconds in kubectl's short form, with less detail the longer it is."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    return f"{days // 365}y{days % 365}d" if days < 2920 else f"{days // 365}y"


def _labels(value: Any) -> str:
    return ",".join(f"{key}={item}" for key, item in sorted((value or {}).items())) or "<none>"


def _selector(*path: str) -> Cell:
    def cell(obj: Object) -> str:
        selector = _get(obj, *path) or {}
        terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
        terms += [_expression(expression) for expression in selector.get("matchExpressions") or ()]
        return ",".join(terms) or "<none>"

    return cell


def _expression(expression: Object) -> str:
    values = ",".join(expression.get("values") or ())
    return f"{expression.get('key')} {str(expression.get('operator')).lower()} ({values})"


def _template(field: str) -> Cell:
    return lambda obj: ",".join(
        str(container.get(field, "")) for container in _items(obj, "spec", "template", "spec", "containers")
    )


# --- pods ---------------------------------------------------------------------------------------------------------
def _pod_ready(pod: Object) -> str:
    statuses = _items(pod, "status", "containerStatuses")
    sidecars = _sidecars(pod)
    ready = sum(1 for status in statuses if status.get("ready"))
    ready += sum(
        1
        for status in _items(pod, "status", "initContainerStatuses")
        if status.get("name") in sidecars and status.get("ready")
    )
    return f"{ready}/{len(_items(pod, 'spec', 'containers')) + len(sidecars)}"


def _sidecars(pod: Object) -> set[str]:
    containers = _items(pod, "spec", "initContainers")
    return {container["name"] for container in containers if container.get("restartPolicy") == "Always"}


def _pod_status(pod: Object) -> str:
    """Phase or the reason that says more, with init containers and deletion taken into account."""
    reason = _get(pod, "status", "reason") or _get(pod, "status", "phase") or "Unknown"
    sidecars = _sidecars(pod)
    init = _items(pod, "status", "initContainerStatuses")
    initializing = False
    for index, status in enumerate(init):
        state = status.get("state") or {}
        if _get(state, "terminated", "exitCode") == 0:
            continue
        if status.get("name") in sidecars and status.get("started"):
            continue
        waiting = _get(state, "waiting", "reason")
        if "terminated" in state:
            ended = state["terminated"] or {}
            reason = f"Init:{ended.get('reason') or 'ExitCode:' + str(ended.get('exitCode'))}"
        elif waiting and waiting != "PodInitializing":
            reason = f"Init:{waiting}"
        else:
            reason = f"Init:{index}/{len(_items(pod, 'spec', 'initContainers'))}"
        initializing = True
        break
    if not initializing:
        reason = _container_reason(pod, reason)
    if _get(pod, "metadata", "deletionTimestamp"):
        return "Terminating"
    return str(reason)


def _container_reason(pod: Object, reason: str) -> str:
    running = False
    for status in reversed(_items(pod, "status", "containerStatuses")):
        state = status.get("state") or {}
        waiting, ended = _get(state, "waiting", "reason"), state.get("terminated")
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


def _pod_restarts(pod: Object) -> str:
    sidecars = _sidecars(pod)
    statuses = [status for status in _items(pod, "status", "initContainerStatuses") if status.get("name") in sidecars]
    statuses += _items(pod, "status", "containerStatuses")
    count = sum(int(status.get("restartCount") or 0) for status in statuses)
    ended = [_get(status, "lastState", "terminated", "finishedAt") for status in statuses]
    last = max((stamp for stamp in ended if stamp), default=None)
    return f"{count} ({age(last)} ago)" if count and last else str(count)


def _readiness_gates(pod: Object) -> str:
    gates = _items(pod, "spec", "readinessGates")
    if not gates:
        return "<none>"
    true = {c.get("type") for c in _items(pod, "status", "conditions") if c.get("status") == "True"}
    return f"{sum(1 for gate in gates if gate.get('conditionType') in true)}/{len(gates)}"


# --- services, nodes, the rest ------------------------------------------------------------------------------------
def _external_ip(service: Object) -> str:
    spec = service.get("spec") or {}
    given = [str(ip) for ip in spec.get("externalIPs") or ()]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName"))
    if spec.get("type") != "LoadBalancer":
        return ",".join(given) or "<none>"
    ingress = [i.get("ip") or i.get("hostname") for i in _items(service, "status", "loadBalancer", "ingress")]
    return ",".join([str(address) for address in ingress if address] + given) or "<pending>"


def _service_ports(service: Object) -> str:
    shown = []
    for port in _items(service, "spec", "ports"):
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(shown) or "<none>"


def _node_status(node: Object) -> str:
    ready: Object = next((c for c in _items(node, "status", "conditions") if c.get("type") == "Ready"), {})
    shown = {"True": "Ready"}.get(ready.get("status", ""), "NotReady" if ready else "Unknown")
    return shown + (",SchedulingDisabled" if _get(node, "spec", "unschedulable") else "")


def _node_roles(node: Object) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = _get(node, "metadata", "labels") or {}
    return ",".join(sorted(label.removeprefix(prefix) for label in labels if label.startswith(prefix))) or "<none>"


def _node_address(kind: str) -> Cell:
    return lambda node: next(
        (a.get("address") for a in _items(node, "status", "addresses") if a.get("type") == kind), "<none>"
    )


def _endpoints(obj: Object) -> str:
    shown = []
    for subset in _items(obj, "subsets"):
        ports = subset.get("ports") or [{}]
        for address in subset.get("addresses") or ():
            shown += [
                f"{address.get('ip')}:{port['port']}" if "port" in port else str(address.get("ip")) for port in ports
            ]
    return _first(shown)


def _slice_endpoints(obj: Object) -> str:
    found = [str(address) for endpoint in _items(obj, "endpoints") for address in endpoint.get("addresses") or ()]
    return _first(found, none="<unset>")


def _slice_ports(obj: Object) -> str:
    return _first([str(port.get("port") or "*") for port in _items(obj, "ports")], none="<unset>")


def _first(items: list[str], none: str = "<none>") -> str:
    if not items:
        return none
    more = len(items) - 3
    return ",".join(items[:3]) + (f" + {more} more..." if more > 0 else "")


def _binding_role(obj: Object) -> str:
    return f"{_get(obj, 'roleRef', 'kind')}/{_get(obj, 'roleRef', 'name')}"


def _subjects(kind: str) -> Cell:
    def cell(obj: Object) -> str:
        found = [subject for subject in _items(obj, "subjects") if subject.get("kind") == kind]
        return ", ".join(
            f"{s['namespace']}/{s.get('name')}" if s.get("namespace") else str(s.get("name")) for s in found
        )

    return cell


def _event_object(event: Object) -> str:
    about = event.get("involvedObject") or event.get("regarding") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _event_age(event: Object) -> str:
    last = event.get("lastTimestamp") or _get(event, "series", "lastObservedTime") or event.get("eventTime")
    last = last or event.get("deprecatedLastTimestamp") or event["metadata"].get("creationTimestamp")
    count = event.get("count") or event.get("deprecatedCount") or 1
    first = event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp")
    return f"{age(last)} (x{count} over {age(first)})" if count > 1 and first else age(last)


def _job_status(job: Object) -> str:
    conditions = {c.get("type") for c in _items(job, "status", "conditions") if c.get("status") == "True"}
    return next((shown for shown in ("Complete", "Failed", "Suspended") if shown in conditions), "Running")


# --- the columns --------------------------------------------------------------------------------------------------
_NAME: Final = Column("Name", lambda obj: obj["metadata"]["name"], format="name")
_AGE: Final = Column("Age", lambda obj: age(obj["metadata"].get("creationTimestamp")))
_WORKLOAD: Final = (
    Column("Containers", _template("name"), wide=True),
    Column("Images", _template("image"), wide=True),
    Column("Selector", _selector("spec", "selector"), wide=True),
)


def _number(name: str, *path: str) -> Column:
    return Column(name, _at(*path, default=0), type="integer")


_COLUMNS: Final[Mapping[tuple[str, str], tuple[Column, ...]]] = {
    ("", "Pod"): (
        Column("Ready", _pod_ready),
        Column("Status", _pod_status),
        Column("Restarts", _pod_restarts),
    ),
    ("", "Service"): (
        Column("Type", _at("spec", "type")),
        Column("Cluster-IP", _at("spec", "clusterIP")),
        Column("External-IP", _external_ip),
        Column("Port(s)", _service_ports),
    ),
    ("", "Endpoints"): (Column("Endpoints", _endpoints),),
    ("", "Namespace"): (Column("Status", _at("status", "phase", default="")),),
    ("", "Node"): (Column("Status", _node_status), Column("Roles", _node_roles)),
    ("", "ConfigMap"): (Column("Data", lambda o: len(o.get("data") or ()) + len(o.get("binaryData") or ())),),
    ("", "Secret"): (Column("Type", _at("type", default="")), Column("Data", _count("data"), type="integer")),
    ("", "ServiceAccount"): (Column("Secrets", _count("secrets"), type="integer"),),
    ("apps", "Deployment"): (
        Column("Ready", lambda o: f"{_get(o, 'status', 'readyReplicas') or 0}/{_get(o, 'spec', 'replicas') or 0}"),
        _number("Up-to-date", "status", "updatedReplicas"),
        _number("Available", "status", "availableReplicas"),
    ),
    ("apps", "ReplicaSet"): (
        _number("Desired", "spec", "replicas"),
        _number("Current", "status", "replicas"),
        _number("Ready", "status", "readyReplicas"),
    ),
    ("apps", "StatefulSet"): (
        Column("Ready", lambda o: f"{_get(o, 'status', 'readyReplicas') or 0}/{_get(o, 'spec', 'replicas') or 0}"),
    ),
    ("apps", "DaemonSet"): (
        _number("Desired", "status", "desiredNumberScheduled"),
        _number("Current", "status", "currentNumberScheduled"),
        _number("Ready", "status", "numberReady"),
        _number("Up-to-date", "status", "updatedNumberScheduled"),
        _number("Available", "status", "numberAvailable"),
        Column("Node Selector", lambda o: _labels(_get(o, "spec", "template", "spec", "nodeSelector"))),
    ),
    ("batch", "Job"): (
        Column("Status", _job_status),
        Column("Completions", lambda o: f"{_get(o, 'status', 'succeeded') or 0}/{_get(o, 'spec', 'completions') or 1}"),
    ),
    ("batch", "CronJob"): (
        Column("Schedule", _at("spec", "schedule")),
        Column("Timezone", _at("spec", "timeZone")),
        Column("Suspend", lambda o: str(bool(_get(o, "spec", "suspend")))),
        Column("Active", _count("status", "active"), type="integer"),
    ),
    ("discovery.k8s.io", "EndpointSlice"): (
        Column("AddressType", _at("addressType")),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_endpoints),
    ),
    ("coordination.k8s.io", "Lease"): (Column("Holder", _at("spec", "holderIdentity", default="")),),
    ("policy", "PodDisruptionBudget"): (
        Column("Min Available", _at("spec", "minAvailable", default="N/A")),
        Column("Max Unavailable", _at("spec", "maxUnavailable", default="N/A")),
        _number("Allowed Disruptions", "status", "disruptionsAllowed"),
    ),
    ("rbac.authorization.k8s.io", "RoleBinding"): (Column("Role", _binding_role),),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (Column("Role", _binding_role),),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): (
        Column("Webhooks", _count("webhooks"), type="integer"),
    ),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): (
        Column("Webhooks", _count("webhooks"), type="integer"),
    ),
}

_CREATED_AT: Final = Column("Created At", lambda obj: obj["metadata"].get("creationTimestamp"), type="date")

_LAST: Final[Mapping[tuple[str, str], tuple[Column, ...]]] = {
    ("", "Pod"): (
        _AGE,
        Column("IP", _at("status", "podIP"), wide=True),
        Column("Node", _at("spec", "nodeName"), wide=True),
        Column("Nominated Node", _at("status", "nominatedNodeName"), wide=True),
        Column("Readiness Gates", _readiness_gates, wide=True),
    ),
    ("", "Service"): (_AGE, Column("Selector", lambda o: _labels(_get(o, "spec", "selector")), wide=True)),
    ("", "Node"): (
        _AGE,
        Column("Version", _at("status", "nodeInfo", "kubeletVersion", default="")),
        Column("Internal-IP", _node_address("InternalIP"), wide=True),
        Column("External-IP", _node_address("ExternalIP"), wide=True),
        Column("OS-Image", _at("status", "nodeInfo", "osImage", default="<unknown>"), wide=True),
        Column("Kernel-Version", _at("status", "nodeInfo", "kernelVersion", default="<unknown>"), wide=True),
        Column(
            "Container-Runtime", _at("status", "nodeInfo", "containerRuntimeVersion", default="<unknown>"), wide=True
        ),
    ),
    ("", "Event"): (
        Column("Last Seen", _event_age),
        Column("Type", _at("type", default="")),
        Column("Reason", _at("reason", default="")),
        Column("Object", _event_object),
        Column("Message", lambda e: str(e.get("message") or e.get("note") or "").strip()),
    ),
    ("apps", "Deployment"): (_AGE, *_WORKLOAD),
    ("apps", "ReplicaSet"): (_AGE, *_WORKLOAD),
    ("apps", "StatefulSet"): (_AGE, *_WORKLOAD[:2]),
    ("apps", "DaemonSet"): (_AGE, *_WORKLOAD),
    ("batch", "Job"): (_AGE, *_WORKLOAD),
    ("rbac.authorization.k8s.io", "Role"): (_CREATED_AT,),
    ("rbac.authorization.k8s.io", "ClusterRole"): (_CREATED_AT,),
    ("rbac.authorization.k8s.io", "RoleBinding"): (
        _AGE,
        Column("Users", _subjects("User"), wide=True),
        Column("Groups", _subjects("Group"), wide=True),
        Column("ServiceAccounts", _subjects("ServiceAccount"), wide=True),
    ),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (
        _AGE,
        Column("Users", _subjects("User"), wide=True),
        Column("Groups", _subjects("Group"), wide=True),
        Column("ServiceAccounts", _subjects("ServiceAccount"), wide=True),
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (_CREATED_AT,),
}


# --- custom resources ---------------------------------------------------------------------------------------------
_STEP: Final = re.compile(
    r"""\.((?:\\.|[^.\[\]\\])+)|\['([^']+)'\]|\["([^"]+)"\]|\[(\d+)\]|\[\?\(@\.([\w.]+)\s*==\s*["']([^"']*)["']\)\]|\[(\*)\]"""
)


def _printer_column(column: Object) -> Column:
    read = json_path(str(column.get("jsonPath", "")))
    kind = str(column.get("type", "string"))

    def cell(obj: Object) -> Any:
        found = read(obj)
        value = found[0] if found else None
        if value is None:
            return "<none>" if kind == "string" and not found else None
        if kind == "date":
            return age(value)
        if kind == "string":
            return value if isinstance(value, str) else _plain(value)
        return value

    return Column(
        str(column.get("name", "")),
        cell,
        type="string" if kind == "date" else kind,
        wide=int(column.get("priority") or 0) > 0,
        description=str(column.get("description", "")),
    )


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def json_path(path: str) -> Callable[[Any], list[Any]]:
    """A reader for the JSON paths of printer columns: fields, indexes, `[*]` and `[?(@.a=="b")]`."""
    text = path if path.startswith((".", "[")) else f".{path}"
    steps: list[Callable[[Any], list[Any]]] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return lambda _: []
        steps.append(_step(match))
        position = match.end()

    def read(obj: Any) -> list[Any]:
        found = [obj]
        for step in steps:
            found = [value for item in found for value in step(item)]
        return found

    return read


def _step(match: re.Match[str]) -> Callable[[Any], list[Any]]:
    field, single, double, index, where, wanted, every = match.groups()
    name = (field or "").replace("\\.", ".") or single or double
    if name:
        return lambda value: [value[name]] if isinstance(value, dict) and name in value else []
    if index:
        return lambda value: value[int(index) : int(index) + 1] if isinstance(value, list) else []
    if every:
        return lambda value: list(value) if isinstance(value, list) else []
    path = where.split(".")
    return lambda value: [item for item in value if str(_get(item, *path)) == wanted] if isinstance(value, list) else []
