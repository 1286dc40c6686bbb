"""What each control-plane account may do, and nothing more."""

from collections.abc import Sequence

from isthmus import names
from isthmus.install.workloads import Manifest

Rule = dict[str, list[str]]

FOLLOW = ["list", "watch"]
"""What a watch cache needs."""


def rule(groups: Sequence[str], resources: Sequence[str], verbs: Sequence[str], only: Sequence[str] = ()) -> Rule:
    """One policy rule; `only` narrows it to objects of these names."""
    made = {"apiGroups": list(groups), "resources": list(resources), "verbs": list(verbs)}
    return {**made, "resourceNames": list(only)} if only else made


def cluster_role(name: str, account: str, *, namespace: str, rules: Sequence[Rule]) -> list[Manifest]:
    """A ClusterRole and its binding to one account."""
    metadata: Manifest = {"name": name, "labels": {names.CONTROL_PLANE_NS_LABEL: names.CONTROL_PLANE_NAMESPACE}}
    return [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": [*rules]},
        _binding("ClusterRoleBinding", metadata, ("ClusterRole", name), (namespace, account)),
    ]


def role(name: str, account: str, *, namespace: str, rules: Sequence[Rule]) -> list[Manifest]:
    """A Role and its binding to an account of the same namespace."""
    metadata: Manifest = {
        "name": name,
        "namespace": namespace,
        "labels": {names.CONTROL_PLANE_NS_LABEL: names.CONTROL_PLANE_NAMESPACE},
    }
    return [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": [*rules]},
        _binding("RoleBinding", metadata, ("Role", name), (namespace, account)),
    ]


def _binding(kind: str, metadata: Manifest, role_ref: tuple[str, str], account: tuple[str, str]) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_ref[0], "name": role_ref[1]},
        "subjects": [{"kind": "ServiceAccount", "namespace": account[0], "name": account[1]}],
    }


def control_plane() -> list[Manifest]:
    """The roles of identity, destination and proxy-injector."""
    namespace = names.CONTROL_PLANE_NAMESPACE
    prefix = f"linkerd-{namespace}"
    return [
        *cluster_role(
            f"{prefix}-identity",
            names.IDENTITY_DEPLOYMENT,
            namespace=namespace,
            rules=[rule(["authentication.k8s.io"], ["tokenreviews"], ["create"])],
        ),
        *cluster_role(
            f"{prefix}-destination",
            names.DESTINATION_DEPLOYMENT,
            namespace=namespace,
            rules=[
                rule([""], ["pods", "services", "namespaces"], FOLLOW),
                rule(["discovery.k8s.io"], ["endpointslices"], FOLLOW),
                rule([names.LINK_GROUP], ["links"], FOLLOW),
                rule([names.SPLIT_GROUP], ["trafficsplits"], FOLLOW),
                rule(names.ROUTE_GROUPS, ["httproutes"], FOLLOW),
                rule([names.FEDERATION_GROUP], ["federatedtrustdomains"], FOLLOW),
            ],
        ),
        *role(
            names.DESTINATION_DEPLOYMENT,
            names.DESTINATION_DEPLOYMENT,
            namespace=namespace,
            rules=[rule([""], ["configmaps"], [*FOLLOW, "patch"], only=[names.REMOTE_ENDPOINTS_CONFIG_MAP])],
        ),
        *cluster_role(
            f"{prefix}-proxy-injector",
            names.INJECTOR_DEPLOYMENT,
            namespace=namespace,
            rules=[rule([""], ["namespaces"], ["get"])],
        ),
    ]
