"""The columns of every kind, as `kubectl get` knows them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from isthmus.lab.api import podstatus
from isthmus.lab.api.contracts import Object, ResourceInfo
from isthmus.lab.api.conversion import converted
from isthmus.lab.api.jsonpath import json_path
from isthmus.lab.api.reading import age, get, items
from isthmus.lab.api.tables import Cell, Column


def for_kind(info: ResourceInfo, printer_columns: Sequence[Object]) -> list[Column]:
    """The columns of a kind; `printer_columns` are those of a custom resource's definition."""
    if info.custom:
        return [_NAME, *map(_printer_column, printer_columns), *([] if printer_columns else [_AGE])]
    if (info.group, info.kind) == ("", "Event"):
        return list(_EVENT)
    if (info.group, info.kind) == ("events.k8s.io", "Event"):
        return [replace(column, cell=_of_core(column.cell)) for column in _EVENT]
    return [_NAME, *_COLUMNS.get((info.group, info.kind), ()), *_LAST.get((info.group, info.kind), (_AGE,))]


def _of_core(cell: Cell) -> Cell:
    return lambda event: cell(converted(event, "v1"))


def _at(*path: str, default: Any = "<none>") -> Cell:
    def cell(obj: Object) -> Any:
        value = get(obj, *path)
        return default if value is None or value == "" else value

    return cell


def _count(*path: str) -> Cell:
    return lambda obj: len(get(obj, *path) or ())


def _labels(value: Any) -> str:
    return ",".join(f"{key}={item}" for key, item in sorted((value or {}).items())) or "<none>"


def _selector(*path: str) -> Cell:
    def cell(obj: Object) -> str:
        selector = get(obj, *path) or {}
        terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
        terms += [_expression(expression) for expression in selector.get("matchExpressions") or ()]
        return ",".join(terms) or "<none>"

    return cell


def _expression(expression: Object) -> str:
    values = ",".join(expression.get("values") or ())
    return f"{expression.get('key')} {str(expression.get('operator')).lower()} ({values})"


def _template(field: str) -> Cell:
    return lambda obj: ",".join(
        str(container.get(field, "")) for container in items(obj, "spec", "template", "spec", "containers")
    )


def _external_ip(service: Object) -> str:
    spec = service.get("spec") or {}
    given = [str(ip) for ip in spec.get("externalIPs") or ()]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName"))
    if spec.get("type") != "LoadBalancer":
        return ",".join(given) or "<none>"
    ingress = [i.get("ip") or i.get("hostname") for i in items(service, "status", "loadBalancer", "ingress")]
    return ",".join([str(address) for address in ingress if address] + given) or "<pending>"


def _service_ports(service: Object) -> str:
    shown = []
    for port in items(service, "spec", "ports"):
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(shown) or "<none>"


def _node_status(node: Object) -> str:
    ready: Object = next((c for c in items(node, "status", "conditions") if c.get("type") == "Ready"), {})
    shown = {"True": "Ready"}.get(ready.get("status", ""), "NotReady" if ready else "Unknown")
    return shown + (",SchedulingDisabled" if get(node, "spec", "unschedulable") else "")


def _node_roles(node: Object) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = get(node, "metadata", "labels") or {}
    return ",".join(sorted(label.removeprefix(prefix) for label in labels if label.startswith(prefix))) or "<none>"


def _node_address(kind: str) -> Cell:
    return lambda node: next(
        (a.get("address") for a in items(node, "status", "addresses") if a.get("type") == kind), "<none>"
    )


def _endpoints(obj: Object) -> str:
    shown = []
    for subset in items(obj, "subsets"):
        ports = subset.get("ports") or [{}]
        for address in subset.get("addresses") or ():
            shown += [
                f"{address.get('ip')}:{port['port']}" if "port" in port else str(address.get("ip")) for port in ports
            ]
    return _first(shown)


def _slice_endpoints(obj: Object) -> str:
    found = [str(address) for endpoint in items(obj, "endpoints") for address in endpoint.get("addresses") or ()]
    return _first(found, none="<unset>")


def _slice_ports(obj: Object) -> str:
    return _first([str(port.get("port") or "*") for port in items(obj, "ports")], none="<unset>")


def _first(items: list[str], none: str = "<none>") -> str:
    if not items:
        return none
    more = len(items) - 3
    return ",".join(items[:3]) + (f" + {more} more..." if more > 0 else "")


def _binding_role(obj: Object) -> str:
    return f"{get(obj, 'roleRef', 'kind')}/{get(obj, 'roleRef', 'name')}"


def _subjects(kind: str) -> Cell:
    def cell(obj: Object) -> str:
        found = [subject for subject in items(obj, "subjects") if subject.get("kind") == kind]
        return ", ".join(
            f"{s['namespace']}/{s.get('name')}" if s.get("namespace") else str(s.get("name")) for s in found
        )

    return cell


def _event_object(event: Object) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _event_source(event: Object) -> str:
    source = event.get("source") or {}
    return ", ".join(source[field] for field in ("component", "host") if source.get(field))


def _event_age(event: Object) -> str:
    last = event.get("lastTimestamp") or get(event, "series", "lastObservedTime") or event.get("eventTime")
    last = last or event.get("deprecatedLastTimestamp") or event["metadata"].get("creationTimestamp")
    count = event.get("count") or event.get("deprecatedCount") or 1
    first = event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp")
    return f"{age(last)} (x{count} over {age(first)})" if count > 1 and first else age(last)


def _job_status(job: Object) -> str:
    conditions = {c.get("type") for c in items(job, "status", "conditions") if c.get("status") == "True"}
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


_EVENT: Final = (
    Column("Last Seen", _event_age),
    Column("Type", _at("type", default="")),
    Column("Reason", _at("reason", default="")),
    Column("Object", _event_object),
    Column("Subobject", _at("involvedObject", "fieldPath", default=""), wide=True),
    Column("Source", _event_source, wide=True),
    Column("Message", lambda event: str(event.get("message") or event.get("note") or "").strip()),
    Column("First Seen", lambda event: age(event.get("firstTimestamp") or event.get("eventTime")), wide=True),
    Column("Count", lambda event: event.get("count") or 1, type="integer", wide=True),
    Column("Name", lambda event: event["metadata"]["name"], wide=True),
)
"""Of events the name says nothing: what they are about comes first."""

_COLUMNS: Final[Mapping[tuple[str, str], tuple[Column, ...]]] = {
    ("", "Pod"): (
        Column("Ready", podstatus.ready),
        Column("Status", podstatus.status),
        Column("Restarts", podstatus.restarts),
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
        Column("Ready", lambda o: f"{get(o, 'status', 'readyReplicas') or 0}/{get(o, 'spec', 'replicas') or 0}"),
        _number("Up-to-date", "status", "updatedReplicas"),
        _number("Available", "status", "availableReplicas"),
    ),
    ("apps", "ReplicaSet"): (
        _number("Desired", "spec", "replicas"),
        _number("Current", "status", "replicas"),
        _number("Ready", "status", "readyReplicas"),
    ),
    ("apps", "StatefulSet"): (
        Column("Ready", lambda o: f"{get(o, 'status', 'readyReplicas') or 0}/{get(o, 'spec', 'replicas') or 0}"),
    ),
    ("apps", "DaemonSet"): (
        _number("Desired", "status", "desiredNumberScheduled"),
        _number("Current", "status", "currentNumberScheduled"),
        _number("Ready", "status", "numberReady"),
        _number("Up-to-date", "status", "updatedNumberScheduled"),
        _number("Available", "status", "numberAvailable"),
        Column("Node Selector", lambda o: _labels(get(o, "spec", "template", "spec", "nodeSelector"))),
    ),
    ("batch", "Job"): (
        Column("Status", _job_status),
        Column("Completions", lambda o: f"{get(o, 'status', 'succeeded') or 0}/{get(o, 'spec', 'completions') or 1}"),
    ),
    ("batch", "CronJob"): (
        Column("Schedule", _at("spec", "schedule")),
        Column("Timezone", _at("spec", "timeZone")),
        Column("Suspend", lambda o: str(bool(get(o, "spec", "suspend")))),
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
        Column("Readiness Gates", podstatus.readiness_gates, wide=True),
    ),
    ("", "Service"): (_AGE, Column("Selector", lambda o: _labels(get(o, "spec", "selector")), wide=True)),
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


# --- custom resources
def _printer_column(column: Object) -> Column:
    path = str(column.get("jsonPath", ""))
    read, kind = json_path(path), str(column.get("type", "string"))

    def cell(obj: Object) -> Any:
        value = next(iter(read(obj)), None)
        if value is None:
            return None
        if kind == "date":
            return age(value)
        if kind == "string":
            return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        return value if isinstance(value, bool) is (kind == "boolean") and not isinstance(value, str) else None

    return Column(
        str(column.get("name", "")),
        cell,
        type=kind,
        wide=int(column.get("priority") or 0) > 0,
        description=str(column.get("description") or f"Custom resource definition column (in JSONPath format): {path}"),
    )
