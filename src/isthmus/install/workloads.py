"""The shape that all control-plane workloads share: a Deployment, its Service, and the hardening of its pod."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from isthmus import names
from isthmus.install.template import Lookup, When, expression, when
from isthmus.install.values import Resources

Manifest = dict[str, Any]

CONTROLLER_UID = 2103


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where and how the pods of all components run: what a cluster's administrator decides."""

    node_selector: Mapping[str, Any] = field(default_factory=lambda: {"kubernetes.io/os": "linux"})
    tolerations: Sequence[Any] = ()
    priority_class_name: str = ""
    image_pull_secrets: Sequence[Any] = ()
    annotations: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    strategy: Mapping[str, Any] = field(default_factory=dict)
    spread: bool = False
    """Never two pods of one component on a node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One control-plane process: what it is called, how it is started, what it mounts.

    `ports` maps container port names to numbers; `service_ports` maps Service ports to container port names.
    """

    name: str
    component: str
    args: tuple[str | When, ...]
    image: str
    image_pull_policy: str
    replicas: int
    ports: Mapping[str, int]
    volumes: tuple[Manifest, ...] = ()
    mounts: tuple[Manifest, ...] = ()
    annotations: Mapping[str, str] | None = None
    resources: Resources = field(default_factory=Resources)
    placement: Placement = field(default_factory=Placement)

    def selector(self) -> dict[str, str]:
        return {names.COMPONENT_LABEL: self.component}

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
    selector, place = component.selector(), component.placement
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": component.name, "namespace": namespace, "labels": component.labels()},
        "spec": {
            "replicas": component.replicas,
            "selector": {"matchLabels": selector},
            "strategy": when(place.strategy, place.strategy),
            "template": {
                "metadata": {
                    "labels": merged(component.labels(), place.labels),
                    "annotations": merged(component.annotations or {}, place.annotations),
                },
                "spec": {
                    "serviceAccountName": component.name,
                    "nodeSelector": when(place.node_selector, place.node_selector),
                    "tolerations": when(place.tolerations, place.tolerations),
                    "priorityClassName": when(place.priority_class_name, place.priority_class_name),
                    "imagePullSecrets": when(place.image_pull_secrets, place.image_pull_secrets),
                    "affinity": when(place.spread, apart(selector)),
                    "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [_container(component)],
                    "volumes": list(component.volumes),
                },
            },
        },
    }


def merged(own: Mapping[str, str], others: Mapping[str, Any]) -> Manifest:
    """Labels or annotations: what people add, but never in place of our own."""
    if isinstance(others, Lookup):
        pairs = " ".join(f"{json.dumps(key)} {expression(text)}" for key, text in own.items())
        return cast("Manifest", Lookup(f"merge (dict {pairs}) {others.expression}"))
    return {**others, **own}


def apart(selector: Mapping[str, str]) -> Manifest:
    """One pod of the selected ones per node, and over zones where there are several."""
    node, zone = (
        {"labelSelector": {"matchLabels": selector}, "topologyKey": f"{key}"}
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    )
    return {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": zone}],
            "requiredDuringSchedulingIgnoredDuringExecution": [node],
        }
    }


def disruption_budget(component: Component, *, namespace: str) -> Manifest:
    """A drain takes one pod of a component at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": component.name, "namespace": namespace, "labels": component.labels()},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": component.selector()}},
    }


def requirements(asked: Resources) -> Any:
    """A container's `resources`, with only what was asked for."""

    def bound(cpu: str, memory: str) -> Any:
        return when(cpu, {"cpu": when(cpu, cpu), "memory": when(memory, memory)}, otherwise=(memory,))

    bounds = {
        "requests": bound(asked.cpu_request, asked.memory_request),
        "limits": bound(asked.cpu_limit, asked.memory_limit),
    }
    return when(asked.cpu_request, bounds, otherwise=(asked.cpu_limit, asked.memory_request, asked.memory_limit))


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
        "resources": requirements(component.resources),
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
            "selector": component.selector(),
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
