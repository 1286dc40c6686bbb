"""The objects a cluster is born with."""

from collections.abc import Iterator
from typing import Final

from isthmus.lab.api.bodies import Options, Target
from isthmus.lab.api.contracts import SUPERUSER, Object
from isthmus.lab.api.objects import Objects
from isthmus.lab.api.registry import Registry
from isthmus.lab.api.store import Store
from isthmus.names import SERVICE_NAME_LABEL

NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")
_RBAC: Final = "rbac.authorization.k8s.io/v1"
_EVERYTHING: Final = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
]
_REVIEWS: Final = [
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
]
_DISCOVERY: Final = [
    {
        "nonResourceURLs": [
            "/api",
            "/api/*",
            "/apis",
            "/apis/*",
            "/healthz",
            "/livez",
            "/openapi",
            "/openapi/*",
            "/readyz",
            "/version",
            "/version/",
        ],
        "verbs": ["get"],
    }
]
_OWN_REVIEWS: Final = [
    {
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        "verbs": ["create"],
    },
    {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
]


def objects(api_address: str, node_address: str, port: int) -> Iterator[tuple[str, Object]]:
    """(plural, object) in the order they must be created."""
    for name in NAMESPACES:
        yield "namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    labels = {"component": "apiserver", "provider": "kubernetes"}
    yield (
        "services",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "spec": {
                "type": "ClusterIP",
                "clusterIP": api_address,
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
            },
        },
    )
    yield (
        "endpointslices",
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {SERVICE_NAME_LABEL: "kubernetes"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [node_address], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        },
    )
    yield from _roles()


def _roles() -> Iterator[tuple[str, Object]]:
    for name, rules, group in (
        ("cluster-admin", _EVERYTHING, "system:masters"),
        ("system:discovery", _DISCOVERY, "system:authenticated"),
        ("system:basic-user", _OWN_REVIEWS, "system:authenticated"),
        ("system:auth-delegator", _REVIEWS, ""),
    ):
        labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
        metadata = {"name": name, "labels": labels}
        yield "clusterroles", {"apiVersion": _RBAC, "kind": "ClusterRole", "metadata": metadata, "rules": rules}
        if group:
            subject = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": group}
            role = {"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": name}
            binding = {"apiVersion": _RBAC, "kind": "ClusterRoleBinding", "metadata": metadata}
            yield "clusterrolebindings", binding | {"subjects": [subject], "roleRef": role}


async def run(
    store: Store, registry: Registry, writer: Objects, *, api_address: str, node_address: str, port: int
) -> None:
    """Create what is missing."""
    for plural, obj in objects(api_address, node_address, port):
        group, _, version = obj["apiVersion"].rpartition("/")
        info = registry.find(group, version, plural)
        if info is None:
            raise LookupError(f"{plural} is not a built-in resource")
        metadata = obj["metadata"]
        if store.get(group, plural, metadata.get("namespace"), metadata["name"]) is None:
            target = Target(info, metadata.get("namespace", ""), metadata["name"])
            await writer.create(target, obj, Options(user=SUPERUSER, manager="kube-apiserver"))
