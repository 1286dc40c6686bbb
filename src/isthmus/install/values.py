"""Every value an installation depends on, in one place, named as Linkerd's Helm values are."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from isthmus import names
from isthmus.install import schema
from isthmus.install.schema import Check, Tree, value
from isthmus.resources import ports, tracing

DEFAULT_CLUSTER_NETWORKS: Final = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")
"""Private ranges: only destinations in these are looked up in the mesh, everything else passes through."""


def one_of(*choices: str) -> Check:
    return lambda text: None if text in choices else f"it must be one of {', '.join(choices)}"


def like(pattern: str, meaning: str) -> Check:
    found = re.compile(pattern)
    return lambda text: None if found.fullmatch(text) else f"it must be {meaning}"


def networks(text: str) -> str | None:
    try:
        for part in text.split(","):
            ipaddress.ip_network(part.strip())
    except ValueError as error:
        return str(error)
    return None if text.strip() else "it must hold a network such as 10.0.0.0/8"


def port_list(text: str) -> str | None:
    try:
        ports.parse(text)
    except ports.PortError as error:
        return str(error)
    return None


def percentage(text: str) -> str | None:
    try:
        tracing.parse(text)
    except tracing.SamplingError as error:
        return str(error)
    return None


def collector_address(text: str) -> str | None:
    host, _, port = text.rpartition(":")
    numbered = re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) <= ports.HIGHEST
    if not text or (numbered and _HOST.fullmatch(host)):
        return None
    return "it must be a host and the port where OTLP is spoken over gRPC, such as otel.observability:4317"


_HOST: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?")
duration: Final = like(r"([0-9]+(\.[0-9]+)?(s|m|h))+", "a duration such as 24h or 90s")
domain: Final = like(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", "a DNS name in lower case")
quantity: Final = like(r"(\d+(\.\d+)?([munkMGTPE]|[KMGTPE]i|e\d+)?)?", "a quantity such as 100m or 20Mi")
registry_path: Final = like(r"[a-zA-Z0-9][a-zA-Z0-9._:/-]*[a-zA-Z0-9]", "a registry and a path in it")
tag: Final = like(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", "an image tag")
cluster_name: Final = like("([A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?)?", "a name, such as west")
pull_policy: Final = one_of("Always", "IfNotPresent", "Never")
LOG_LEVELS: Final = ("debug", "info", "warn", "error")


def replicas(number: int) -> str | None:
    return None if number > 0 else "it must be 1 or more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """The PEM material of one installation. `trust_anchors` may hold several roots; keys are secrets."""

    trust_domain: str
    trust_anchors: str
    issuer_certificate: str
    issuer_key: str = field(repr=False)
    webhook_ca: str
    webhook_certificate: str
    webhook_key: str = field(repr=False)


CERTIFICATE_PATHS: Final[Mapping[str, str]] = {
    "trust_domain": "identityTrustDomain",
    "trust_anchors": "identityTrustAnchorsPEM",
    "issuer_certificate": "identity.issuer.tls.crtPEM",
    "issuer_key": "identity.issuer.tls.keyPEM",
    "webhook_ca": "proxyInjector.caBundle",
    "webhook_certificate": "proxyInjector.crtPEM",
    "webhook_key": "proxyInjector.keyPEM",
}
"""What the certificates are called among a chart's values. The commands take them from files, or make them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a container asks for and may take at most; an empty text says nothing."""

    cpu_request: str = value("cpu.request", "", quantity)
    cpu_limit: str = value("cpu.limit", "", quantity)
    memory_request: str = value("memory.request", "", quantity)
    memory_limit: str = value("memory.limit", "", quantity)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallValues:
    """What `linkerd install` was asked for. Durations are Kubernetes style strings such as `24h`."""

    certificates: Certificates
    cluster_domain: str = value("clusterDomain", "cluster.local", domain)
    cluster_networks: str = value("clusterNetworks", ",".join(DEFAULT_CLUSTER_NETWORKS), networks)
    issuance_lifetime: str = value("identity.issuer.issuanceLifetime", "24h", duration)
    clock_skew_allowance: str = value("identity.issuer.clockSkewAllowance", "20s", duration)
    registry: str = value("registry", names.DEFAULT_REGISTRY, registry_path)
    version: str = value("linkerdVersion", names.VERSION, tag)
    image_pull_policy: str = value("imagePullPolicy", "IfNotPresent", pull_policy)
    image_pull_secrets: list[Any] = value("imagePullSecrets", [])
    controller_replicas: int = value("controllerReplicas", 1, replicas)
    controller_log_level: str = value("controllerLogLevel", "info", one_of(*LOG_LEVELS))
    identity_resources: Resources = value("identityResources", Resources())
    destination_resources: Resources = value("destinationResources", Resources())
    injector_resources: Resources = value("proxyInjectorResources", Resources())
    proxy_log_level: str = value("proxy.logLevel", "warn", like("[A-Za-z0-9_:=,.-]+", "a log level such as warn"))
    proxy_resources: Resources = value("proxy.resources", Resources())
    skip_inbound_ports: str = value(
        "proxyInit.ignoreInboundPorts", ",".join(map(str, names.DEFAULT_SKIPPED_PORTS)), port_list
    )
    skip_outbound_ports: str = value(
        "proxyInit.ignoreOutboundPorts", ",".join(map(str, names.DEFAULT_SKIPPED_PORTS)), port_list
    )
    tracing_collector: str = value("tracing.collector", "", collector_address)
    tracing_sampling: str = value("tracing.sampling", "1", percentage)
    tracing_cluster_name: str = value("tracing.clusterName", "", cluster_name)
    high_availability: bool = value("highAvailability", False)
    enable_pod_anti_affinity: bool = value("enablePodAntiAffinity", False)
    enable_pod_disruption_budget: bool = value("enablePodDisruptionBudget", False)
    webhook_failure_policy: str = value("webhookFailurePolicy", "Ignore", one_of("Ignore", "Fail"))
    deployment_strategy: dict[str, Any] = value("deploymentStrategy", {})
    priority_class_name: str = value("priorityClassName", "")
    node_selector: dict[str, Any] = value("nodeSelector", {"kubernetes.io/os": "linux"})
    tolerations: list[Any] = value("tolerations", [])
    pod_annotations: dict[str, Any] = value("podAnnotations", {})
    pod_labels: dict[str, Any] = value("podLabels", {})

    def image(self, name: str) -> str:
        return f"{self.registry}/{name}:{self.version}"

    def public(self) -> Tree:
        """What the `linkerd-config` ConfigMap tells: everything but certificates and keys."""
        made = schema.tree(self)
        schema.put(made, ("identityTrustDomain",), self.certificates.trust_domain)
        return made


SMALL: Final = {"cpu": {"request": "100m"}, "memory": {"request": "50Mi", "limit": "250Mi"}}
HIGH_AVAILABILITY: Final[Tree] = {
    "highAvailability": True,
    "controllerReplicas": 3,
    "enablePodAntiAffinity": True,
    "enablePodDisruptionBudget": True,
    "webhookFailurePolicy": "Fail",
    "deploymentStrategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": "25%"}},
    "identityResources": SMALL,
    "proxyInjectorResources": SMALL,
    "destinationResources": {"cpu": {"request": "100m"}, "memory": {"request": "50Mi", "limit": "1Gi"}},
    "proxy": {"resources": {"cpu": {"request": "100m"}, "memory": {"request": "20Mi", "limit": "250Mi"}}},
}
"""What `--ha` sets, as Linkerd's values-ha.yaml does. `destination` grows with the mesh, so its limit is higher."""
