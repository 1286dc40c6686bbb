"""The page of all linked clusters: its process, and who may read what for it."""

from typing import Any, Final

from isthmus import names
from isthmus.install import rbac

Manifest = dict[str, Any]

API_PORT: Final = 8085
"""As in `viz/api.py`, which this room does not read."""
SHARED: Final = "linkerd-viz-shared"
LINKING_ACCOUNTS: Final = f"system:serviceaccounts:{names.MULTICLUSTER_NAMESPACE}"
"""Every linking cluster has its account in this namespace."""


def shared_access(namespace: str) -> list[Manifest]:
    """What the accounts of linking clusters may: ask this one Service by way of the API server, and only ask."""
    role, binding = rbac.role(
        SHARED,
        SHARED,
        namespace=namespace,
        rules=[rbac.rule([""], ["services/proxy"], ["get"], only=[f"{names.VIZ_METRICS_API}:{API_PORT}"])],
    )
    group = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": LINKING_ACCOUNTS}
    return [role, {**binding, "subjects": [group]}]


def trust_access(namespace: str) -> list[Manifest]:
    """The metrics API says which trust domain its cluster is, so that clusters recognise each other."""
    return _elsewhere(
        f"{namespace}-{names.VIZ_METRICS_API}",
        names.CONTROL_PLANE_NAMESPACE,
        (namespace, names.VIZ_METRICS_API),
        rbac.rule([""], ["configmaps"], rbac.FOLLOW, only=[names.TRUST_ROOTS_CONFIG_MAP]),
    )


def credentials_access(namespace: str) -> list[Manifest]:
    """The page reads the Secrets that Links name; it may not list any."""
    return _elsewhere(
        f"{namespace}-{names.VIZ_WEB}",
        names.MULTICLUSTER_NAMESPACE,
        (namespace, names.VIZ_WEB),
        rbac.rule([""], ["secrets"], ["get"]),
    )


def _elsewhere(name: str, namespace: str, account: tuple[str, str], rule: rbac.Rule) -> list[Manifest]:
    role, binding = rbac.role(name, name, namespace=namespace, rules=[rule])
    return [role, {**binding, "subjects": [{"kind": "ServiceAccount", "namespace": account[0], "name": account[1]}]}]


def container(*, image: str, policy: str, namespace: str, log_level: str) -> Manifest:
    """It listens on its own loopback, so only who may forward ports to it sees the page."""
    admin = names.CONTROLLER_ADMIN_PORT
    return {
        "name": names.VIZ_WEB,
        "image": image,
        "imagePullPolicy": policy,
        "args": [
            "viz-web",
            f"--log-level={log_level}",
            f"--metrics-api=http://{names.VIZ_METRICS_API}.{namespace}:{API_PORT}",
        ],
        "ports": [{"name": "admin-http", "containerPort": admin}],
        "livenessProbe": {"httpGet": {"path": "/live", "port": admin}, "initialDelaySeconds": 10},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": admin}, "periodSeconds": 1, "failureThreshold": 7},
        "resources": {"requests": {"cpu": "10m", "memory": "60Mi"}, "limits": {"memory": "250Mi"}},
    }
