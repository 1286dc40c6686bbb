"""The shape that all control-plane workloads share: a Deployment, its Service, and the hardening of its pod."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus import names

Manifest = dict[str, Any]

CONTROLLER_UID = 2103


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One control-plane process: what it is called, how it is started, what it mounts.

    `ports` maps container port names to numbers; `service_ports` maps Service ports to container port names.
    """

    name: str
    component: str
    args: tuple[str, ...]
    image: str
    image_pull_policy: str
    replicas: int
    ports: Mapping[str, int]
    volumes: tuple[Manifest, ...] = ()
    mounts: tuple[Manifest, ...] = ()
    annotations: Mapping[str, str] | None = None

    def labels(self) -> dict[str, str]:
        return {
            names.COMPONENT_LABEL: self.component,
            names.CONTROL_PLANE_NS_LABEL: names.CONTROL_PLANE_NAMESPACE,
            "app.kubernetes.io/name": self.component,
            "app.kubernetes.io/part-of": "Linkerd",
            "app.kubernetes.io/version": names.VERSION,
        }


def deployment(component: Component, *, namespace: str) -> Manifest:
    """A Deployment whose selector is the component label alone, so that everything else may change in place."""
    selector = {names.COMPONENT_LABEL: component.component}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": component.name, "namespace": namespace, "labels": component.labels()},
        "spec": {
            "replicas": component.replicas,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": component.labels(), "annotations": dict(component.annotations or {})},
                "spec": {
                    "serviceAccountName": component.name,
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [_container(component)],
                    "volumes": list(component.volumes),
                },
            },
        },
    }


def _container(component: Component) -> Manifest:
    ports = {**component.ports, "admin-http": names.CONTROLLER_ADMIN_PORT}
    return {
        "name": component.component,
        "image": component.image,
        "imagePullPolicy": component.image_pull_policy,
        "args": list(component.args),
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "livenessProbe": {
            "httpGet": {"path": "/live", "port": names.CONTROLLER_ADMIN_PORT},
            "initialDelaySeconds": 10,
        },
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": names.CONTROLLER_ADMIN_PORT},
            "periodSeconds": 1,
            "failureThreshold": 7,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": CONTROLLER_UID,
            "runAsGroup": CONTROLLER_UID,
        },
        "volumeMounts": list(component.mounts),
    }


def service(name: str, component: Component, *, namespace: str, ports: Sequence[tuple[str, int, str]]) -> Manifest:
    """A Service in front of a component; `ports` are (name, port, container port name)."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": component.labels()},
        "spec": {
            "type": "ClusterIP",
            "selector": {names.COMPONENT_LABEL: component.component},
            "ports": [{"name": port_name, "port": port, "targetPort": target} for port_name, port, target in ports],
        },
    }


def service_account(name: str, *, namespace: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {names.CONTROL_PLANE_NS_LABEL: names.CONTROL_PLANE_NAMESPACE},
        },
    }


def trust_roots_volume() -> tuple[Manifest, Manifest]:
    """Volume and mount of the trust roots, for processes of the control-plane namespace."""
    return (
        {"name": "trust-roots", "configMap": {"name": names.TRUST_ROOTS_CONFIG_MAP}},
        {"name": "trust-roots", "mountPath": "/var/run/linkerd/identity/trust-roots", "readOnly": True},
    )


def identity_token_volume() -> tuple[Manifest, Manifest]:
    """Volume and mount of the token that proves a workload's service account to the identity process."""
    return (
        {
            "name": names.TOKEN_VOLUME,
            "projected": {
                "sources": [
                    {
                        "serviceAccountToken": {
                            "path": names.TOKEN_FILE,
                            "audience": names.TOKEN_AUDIENCE,
                            "expirationSeconds": 86400,
                        }
                    }
                ]
            },
        },
        {"name": names.TOKEN_VOLUME, "mountPath": names.TOKEN_DIR, "readOnly": True},
    )


def secret_volume(name: str, *, secret: str, path: str) -> tuple[Manifest, Manifest]:
    return (
        {"name": name, "secret": {"secretName": secret}},
        {"name": name, "mountPath": path, "readOnly": True},
    )
