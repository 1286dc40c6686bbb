"""Every value an installation depends on, in one place, named as Linkerd's Helm values are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from isthmus import names

DEFAULT_CLUSTER_NETWORKS: Final = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")
"""Private ranges: only destinations in these are looked up in the mesh, everything else passes through."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallValues:
    """What `linkerd install` was asked for. Durations are Kubernetes style strings such as `24h`."""

    certificates: Certificates
    cluster_domain: str = "cluster.local"
    cluster_networks: tuple[str, ...] = DEFAULT_CLUSTER_NETWORKS
    issuance_lifetime: str = "24h"
    clock_skew_allowance: str = "20s"
    registry: str = names.DEFAULT_REGISTRY
    version: str = names.VERSION
    image_pull_policy: str = "IfNotPresent"
    controller_replicas: int = 1
    controller_log_level: str = "info"
    proxy_log_level: str = "warn"

    def image(self, name: str) -> str:
        return f"{self.registry}/{name}:{self.version}"

    def public(self) -> Mapping[str, Any]:
        """What the `linkerd-config` ConfigMap tells: everything but keys."""
        return {
            "clusterDomain": self.cluster_domain,
            "clusterNetworks": ",".join(self.cluster_networks),
            "controllerReplicas": self.controller_replicas,
            "controllerLogLevel": self.controller_log_level,
            "identity": {
                "issuer": {
                    "issuanceLifetime": self.issuance_lifetime,
                    "clockSkewAllowance": self.clock_skew_allowance,
                }
            },
            "identityTrustDomain": self.certificates.trust_domain,
            "imagePullPolicy": self.image_pull_policy,
            "linkerdVersion": self.version,
            "proxy": {"logLevel": self.proxy_log_level},
            "registry": self.registry,
        }
