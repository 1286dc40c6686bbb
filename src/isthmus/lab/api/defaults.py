"""What a real API server fills into built-in kinds and controllers, the kubelet and kubectl rely on.

Each function changes the object it is given; `fill` is the entry point.
"""

import base64
import copy
from collections.abc import Callable
from typing import Any, Final

from isthmus.lab.api.contracts import Object, ResourceInfo


def fill(info: ResourceInfo, obj: Object) -> Object:
    """The object with the defaults of its kind. It is changed in place: its caller must own all of it."""
    default = _DEFAULTS.get((info.group, info.kind))
    if default is not None:
        default(obj)
    return obj


def _spec(obj: Object) -> dict[str, Any]:
    return _map(obj, "spec")


def _map(parent: dict[str, Any], key: str) -> dict[str, Any]:
    if not isinstance(parent.get(key), dict):
        parent[key] = {}
    found: dict[str, Any] = parent[key]
    return found


def _maps(parent: dict[str, Any], key: str) -> list[dict[str, Any]]:
    items = parent.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _set(target: dict[str, Any], **values: Any) -> None:
    for key, value in values.items():
        if target.get(key) is None:
            target[key] = value


def _pod(obj: Object) -> None:
    spec = _spec(obj)
    pod_spec(spec)
    _set(spec, enableServiceLinks=True, preemptionPolicy="PreemptLowerPriority", priority=0)
    status = _map(obj, "status")
    _set(status, phase="Pending", qosClass="BestEffort")


def pod_spec(spec: dict[str, Any]) -> None:
    """The defaults of a pod, alone or in a template."""
    _set(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    account = spec.get("serviceAccountName")
    if account:
        _set(spec, serviceAccount=account)
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for container in (*_maps(spec, "initContainers"), *_maps(spec, "containers")):
        _container(container)
    for volume in _maps(spec, "volumes"):
        _volume(volume)


def _container(container: dict[str, Any]) -> None:
    image = str(container.get("image") or "")
    tag = image.rpartition("/")[2].partition(":")[2]
    always = not image.partition("@")[1] and tag in ("", "latest")
    _set(
        container,
        imagePullPolicy="Always" if always else "IfNotPresent",
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        resources={},
    )
    for port in _maps(container, "ports"):
        _set(port, protocol="TCP")
    for env in _maps(container, "env"):
        field = (env.get("valueFrom") or {}).get("fieldRef")
        if isinstance(field, dict):
            _set(field, apiVersion="v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if isinstance(container.get(name), dict):
            _probe(container[name])


def _probe(probe: dict[str, Any]) -> None:
    _set(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    if isinstance(probe.get("httpGet"), dict):
        _set(probe["httpGet"], path="/", scheme="HTTP")


_VOLUME_MODES: Final = {"configMap": 0o644, "secret": 0o644, "downwardAPI": 0o644, "projected": 0o644}


def _volume(volume: dict[str, Any]) -> None:
    sources = [key for key in volume if key != "name"]
    if not sources:
        volume["emptyDir"] = {}
    for source, mode in _VOLUME_MODES.items():
        if isinstance(volume.get(source), dict):
            _set(volume[source], defaultMode=mode)
    for projection in _maps(volume.get("projected") or {}, "sources"):
        if isinstance(projection.get("serviceAccountToken"), dict):
            _set(projection["serviceAccountToken"], expirationSeconds=3600)


def _template(spec: dict[str, Any]) -> None:
    template = _map(spec, "template")
    _map(template, "metadata")
    pod_spec(_map(template, "spec"))


def _deployment(obj: Object) -> None:
    spec = _spec(obj)
    _set(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = _map(spec, "strategy")
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _set(_map(strategy, "rollingUpdate"), maxUnavailable="25%", maxSurge="25%")
    _template(spec)


def _replica_set(obj: Object) -> None:
    spec = _spec(obj)
    _set(spec, replicas=1)
    _template(spec)


def _stateful_set(obj: Object) -> None:
    spec = _spec(obj)
    _set(spec, replicas=1, podManagementPolicy="OrderedReady", revisionHistoryLimit=10)
    _set(spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
    strategy = _map(spec, "updateStrategy")
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _set(_map(strategy, "rollingUpdate"), partition=0)
    _template(spec)


def _daemon_set(obj: Object) -> None:
    spec = _spec(obj)
    _set(spec, revisionHistoryLimit=10)
    strategy = _map(spec, "updateStrategy")
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _set(_map(strategy, "rollingUpdate"), maxUnavailable=1, maxSurge=0)
    _template(spec)


def _job(obj: Object) -> None:
    spec = _spec(obj)
    _set(spec, parallelism=1, completions=1, backoffLimit=6, completionMode="NonIndexed", suspend=False)
    _template(spec)


def _cron_job(obj: Object) -> None:
    spec = _spec(obj)
    _set(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)


def _service(obj: Object) -> None:
    spec = _spec(obj)
    _set(spec, type="ClusterIP", sessionAffinity="None")
    if spec["type"] != "ExternalName":
        _set(spec, internalTrafficPolicy="Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _set(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _set(spec, allocateLoadBalancerNodePorts=True)
    for port in _maps(spec, "ports"):
        _set(port, protocol="TCP")
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port")
    _set(_map(obj, "status"), loadBalancer={})


def _endpoints(obj: Object) -> None:
    for subset in _maps(obj, "subsets"):
        for port in _maps(subset, "ports"):
            _set(port, protocol="TCP")


def _endpoint_slice(obj: Object) -> None:
    _set(obj, endpoints=[], ports=[])
    for port in _maps(obj, "ports"):
        _set(port, name="", protocol="TCP")


def _secret(obj: Object) -> None:
    _set(obj, type="Opaque")
    strings = obj.pop("stringData", None)
    if isinstance(strings, dict):
        data = _map(obj, "data")
        data |= {key: base64.b64encode(str(value).encode()).decode() for key, value in strings.items()}


def _namespace(obj: Object) -> None:
    metadata = obj["metadata"]
    labels = _map(metadata, "labels")
    labels["kubernetes.io/metadata.name"] = metadata["name"]
    _set(_map(obj, "status"), phase="Active")


def _webhooks(defaults: dict[str, Any]) -> Callable[[Object], None]:
    def default(obj: Object) -> None:
        for webhook in _maps(obj, "webhooks"):
            _set(webhook, **copy.deepcopy(defaults))
            service = (webhook.get("clientConfig") or {}).get("service")
            if isinstance(service, dict):
                _set(service, port=443)
            for rule in _maps(webhook, "rules"):
                _set(rule, scope="*")

    return default


def _role_binding(obj: Object) -> None:
    _set(_map(obj, "roleRef"), apiGroup="rbac.authorization.k8s.io")
    for subject in _maps(obj, "subjects"):
        _set(subject, apiGroup="" if subject.get("kind") == "ServiceAccount" else "rbac.authorization.k8s.io")
        if not subject["apiGroup"]:
            del subject["apiGroup"]


_WEBHOOK: Final = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "timeoutSeconds": 10,
}

_DEFAULTS: Final[dict[tuple[str, str], Callable[[Object], None]]] = {
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("", "Endpoints"): _endpoints,
    ("", "Secret"): _secret,
    ("", "Namespace"): _namespace,
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _cron_job,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _webhooks(
        _WEBHOOK | {"reinvocationPolicy": "Never"}
    ),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _webhooks(_WEBHOOK),
    ("rbac.authorization.k8s.io", "RoleBinding"): _role_binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _role_binding,
}
