"""Which resources are served: the built-in ones as a table, and those that CustomResourceDefinitions add."""

import re
from collections.abc import Iterator
from typing import Final

from isthmus.lab.api.contracts import ResourceInfo

_CREATE_ONLY: Final = ("create",)


def _info(
    api_version: str,
    kind: str,
    resource: str,
    short: str = "",
    subresources: str = "",
    *,
    namespaced: bool = True,
    categories: str = "",
    verbs: tuple[str, ...] | None = None,
) -> ResourceInfo:
    group, _, version = api_version.rpartition("/")
    info = ResourceInfo(
        group=group,
        version=version,
        resource=resource,
        kind=kind,
        namespaced=namespaced,
        singular=kind.lower(),
        short_names=tuple(short.split()),
        categories=tuple(categories.split()),
        subresources=tuple(subresources.split()),
    )
    return info if verbs is None else ResourceInfo(**(info.__dict__ | {"verbs": verbs}))


BUILT_IN: Final = (
    _info("v1", "Namespace", "namespaces", "ns", "status finalize", namespaced=False),
    _info("v1", "Node", "nodes", "no", "status", namespaced=False),
    _info("v1", "Pod", "pods", "po", "status log exec attach portforward proxy binding eviction", categories="all"),
    _info("v1", "Service", "services", "svc", "status proxy", categories="all"),
    _info("v1", "Endpoints", "endpoints", "ep"),
    _info("v1", "ConfigMap", "configmaps", "cm"),
    _info("v1", "Secret", "secrets"),
    _info("v1", "ServiceAccount", "serviceaccounts", "sa", "token"),
    _info("v1", "Event", "events", "ev"),
    _info("v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", "status"),
    _info("v1", "ReplicationController", "replicationcontrollers", "rc", "status scale", categories="all"),
    _info("v1", "LimitRange", "limitranges", "limits"),
    _info("v1", "ResourceQuota", "resourcequotas", "quota", "status"),
    _info("apps/v1", "Deployment", "deployments", "deploy", "status scale", categories="all"),
    _info("apps/v1", "ReplicaSet", "replicasets", "rs", "status scale", categories="all"),
    _info("apps/v1", "StatefulSet", "statefulsets", "sts", "status scale", categories="all"),
    _info("apps/v1", "DaemonSet", "daemonsets", "ds", "status", categories="all"),
    _info("apps/v1", "ControllerRevision", "controllerrevisions"),
    _info("batch/v1", "Job", "jobs", "", "status", categories="all"),
    _info("batch/v1", "CronJob", "cronjobs", "cj", "status", categories="all"),
    _info("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", "status", categories="all"),
    _info("autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", "status", categories="all"),
    _info("events.k8s.io/v1", "Event", "events", "ev"),
    _info("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    _info("coordination.k8s.io/v1", "Lease", "leases"),
    _info("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", "status"),
    _info("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", "netpol"),
    _info("networking.k8s.io/v1", "Ingress", "ingresses", "ing", "status"),
    _info("networking.k8s.io/v1", "IngressClass", "ingressclasses", namespaced=False),
    _info("v1", "PersistentVolume", "persistentvolumes", "pv", "status", namespaced=False),
    _info("v1", "PodTemplate", "podtemplates"),
    _info("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", namespaced=False),
    _info("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", "pc", namespaced=False),
    _info("storage.k8s.io/v1", "StorageClass", "storageclasses", "sc", namespaced=False),
    _info("rbac.authorization.k8s.io/v1", "Role", "roles"),
    _info("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    _info("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False),
    _info("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
    _info(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        namespaced=False,
        categories="api-extensions",
    ),
    _info(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        namespaced=False,
        categories="api-extensions",
    ),
    _info(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd crds",
        "status",
        namespaced=False,
        categories="api-extensions",
    ),
    _info(
        "apiregistration.k8s.io/v1",
        "APIService",
        "apiservices",
        "",
        "status",
        namespaced=False,
        categories="api-extensions",
    ),
    *(
        _info(f"{group}/v1", kind, f"{kind.lower()}s", namespaced=False, verbs=_CREATE_ONLY)
        for group, kind in (
            ("authentication.k8s.io", "TokenReview"),
            ("authentication.k8s.io", "SelfSubjectReview"),
            ("authorization.k8s.io", "SubjectAccessReview"),
            ("authorization.k8s.io", "SelfSubjectAccessReview"),
            ("authorization.k8s.io", "SelfSubjectRulesReview"),
        )
    ),
    _info("authorization.k8s.io/v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=_CREATE_ONLY),
)

SUBRESOURCE_KINDS: Final[dict[str, tuple[str, str, str, tuple[str, ...]]]] = {
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "binding": ("", "v1", "Binding", ("create",)),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
    "exec": ("", "v1", "PodExecOptions", ("create", "get")),
    "attach": ("", "v1", "PodAttachOptions", ("create", "get")),
    "portforward": ("", "v1", "PodPortForwardOptions", ("create", "get")),
    "proxy": ("", "v1", "ServiceProxyOptions", ("create", "delete", "get", "patch", "update")),
    "log": ("", "", "", ("get",)),
    "status": ("", "", "", ("get", "patch", "update")),
    "finalize": ("", "", "", ("update",)),
}
"""Group, version and kind a subresource is discovered with (empty: those of its resource), and its verbs."""

REVIEWS: Final = frozenset(info.kind for info in BUILT_IN if info.verbs == _CREATE_ONLY)


_VERSION: Final = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")


def _priority(version: tuple[str, object]) -> tuple[int, ...]:
    """GA before beta before alpha, the newest first; names of another form come last."""
    match = _VERSION.fullmatch(version[0])
    if match is None:
        return (0,)
    major, stage, minor = match.groups()
    return {"alpha": 1, "beta": 2}.get(stage, 3), int(major), int(minor or 0)


class Registry:
    """Everything served now."""

    def __init__(self) -> None:
        self._built_in = {(info.group, info.version, info.resource): info for info in BUILT_IN}
        self._custom: dict[str, tuple[ResourceInfo, ...]] = {}
        self._index = dict(self._built_in)

    def find(self, group: str, version: str, resource: str) -> ResourceInfo | None:
        return self._index.get((group, version, resource))

    def any_version(self, group: str, resource: str) -> ResourceInfo | None:
        return next((info for info in self if (info.group, info.resource) == (group, resource)), None)

    def __iter__(self) -> Iterator[ResourceInfo]:
        return iter(self._index.values())

    def groups(self) -> dict[str, dict[str, list[ResourceInfo]]]:
        """Group -> version -> resources, in the order they are to be preferred."""
        found: dict[str, dict[str, list[ResourceInfo]]] = {}
        for info in self:
            found.setdefault(info.group, {}).setdefault(info.version, []).append(info)
        return {group: dict(sorted(found[group].items(), key=_priority, reverse=True)) for group in found}

    def define(self, crd_name: str, infos: tuple[ResourceInfo, ...]) -> None:
        """Serve what a CustomResourceDefinition describes; an empty tuple ends it."""
        if self._custom.get(crd_name, ()) == infos:
            return
        if infos:
            self._custom[crd_name] = infos
        else:
            self._custom.pop(crd_name, None)
        self._index = dict(self._built_in)
        for defined in self._custom.values():
            self._index.update({(info.group, info.version, info.resource): info for info in defined})
