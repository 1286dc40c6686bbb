"""Every value that the multicluster extension depends on, named as Linkerd's Helm values are."""

import re
from dataclasses import dataclass
from typing import Any, Final

from isthmus import names
from isthmus.install.schema import Check, Tree, value
from isthmus.install.values import (
    LOG_LEVELS,
    Resources,
    domain,
    like,
    one_of,
    pull_policy,
    registry_path,
    replicas,
    tag,
)

SERVICE_TYPES: Final = ("LoadBalancer", "NodePort", "ClusterIP")
_PATTERN: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9._/]*[A-Za-z0-9])?(/\*)?")
object_name: Final = like(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "the name of an object, in lower case")


def between(lowest: int, highest: int) -> Check:
    return lambda number: None if lowest <= number <= highest else f"it must be {lowest} to {highest}"


def patterns(text: str) -> str | None:
    found = [part.strip() for part in text.split(",") if part.strip()]
    wrong = [part for part in found if not _PATTERN.fullmatch(part)]
    return f"{wrong[0]!r} is no name of a label or annotation, nor prefix/*" if wrong else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MulticlusterValues:
    """What `linkerd multicluster install` was asked for."""

    trust_domain: str = value("identityTrustDomain", "cluster.local", domain)
    cluster_domain: str = value("clusterDomain", "cluster.local", domain)
    registry: str = value("registry", names.DEFAULT_REGISTRY, registry_path)
    version: str = value("linkerdVersion", names.VERSION, tag)
    image_pull_policy: str = value("imagePullPolicy", "IfNotPresent", pull_policy)
    image_pull_secrets: list[Any] = value("imagePullSecrets", [])
    log_level: str = value("controllerDefaults.logLevel", "info", one_of(*LOG_LEVELS))
    controller_replicas: int = value("controllerDefaults.replicas", 1, replicas)
    controller_resources: Resources = value("controllerDefaults.resources", Resources())
    enable_headless_services: bool = value("controllerDefaults.enableHeadlessServices", True)
    enable_namespace_creation: bool = value("controllerDefaults.enableNamespaceCreation", False)
    local_excluded_labels: str = value("localServiceMirror.excludedLabels", "", patterns)
    local_excluded_annotations: str = value("localServiceMirror.excludedAnnotations", "", patterns)
    gateway: bool = value("gateway.enabled", True)
    gateway_replicas: int = value("gateway.replicas", 1, replicas)
    gateway_port: int = value("gateway.port", names.GATEWAY_PORT, between(1, 65535))
    gateway_node_port: int = value("gateway.nodePort", 0, between(0, 65535))
    gateway_service_type: str = value("gateway.serviceType", "LoadBalancer", one_of(*SERVICE_TYPES))
    gateway_probe_seconds: int = value("gateway.probe.seconds", 3, between(1, 3600))
    gateway_service_annotations: dict[str, Any] = value("gateway.serviceAnnotations", {})
    gateway_traffic_policy: str = value("gateway.serviceExternalTrafficPolicy", "", one_of("", "Cluster", "Local"))
    gateway_load_balancer_address: str = value("gateway.loadBalancerIP", "")
    gateway_load_balancer_class: str = value("gateway.loadBalancerClass", "")
    gateway_load_balancer_sources: list[Any] = value("gateway.loadBalancerSourceRanges", [])
    gateway_node_selector: dict[str, Any] = value("gateway.nodeSelector", {"kubernetes.io/os": "linux"})
    gateway_tolerations: list[Any] = value("gateway.tolerations", [])
    remote_access: bool = value("remoteMirrorServiceAccount", True)
    remote_access_account: str = value("remoteMirrorServiceAccountName", names.REMOTE_ACCESS_ACCOUNT, object_name)
    linkerd_namespace: str = names.CONTROL_PLANE_NAMESPACE
    namespace: str = names.MULTICLUSTER_NAMESPACE

    @property
    def gateway_identity(self) -> str:
        account = f"{names.GATEWAY}.{self.namespace}.serviceaccount.identity"
        return f"{account}.{self.linkerd_namespace}.{self.trust_domain}"


HIGH_AVAILABILITY: Final[Tree] = {
    "gateway": {"replicas": 3},
    "controllerDefaults": {
        "replicas": 2,
        "resources": {"cpu": {"request": "100m"}, "memory": {"request": "50Mi", "limit": "250Mi"}},
    },
}
"""What `--ha` sets. Of the controllers one leads, and the other takes over within seconds."""
