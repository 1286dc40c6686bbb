"""Plain values that tests of this room are made of."""

from typing import Any

from isthmus import names
from isthmus.kube.meta import Meta
from isthmus.multicluster import links, plans
from isthmus.multicluster.objects import Port, Service, ServiceSpec

IDENTITY = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.east.example"


def link(target: str = "east", **spec: Any) -> links.Link:
    return links.parse(link_object(target, **spec))


def link_object(target: str = "east", *, name: str = "", metadata: dict[str, Any] | None = None, **spec: Any) -> Any:
    return {
        "apiVersion": "multicluster.linkerd.io/v1alpha3",
        "kind": "Link",
        "metadata": {
            "name": name or f"linkerd-{target}",
            "namespace": "linkerd-multicluster",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **(metadata or {}),
        },
        "spec": {
            "targetClusterName": target,
            "targetClusterDomain": "cluster.local",
            "clusterCredentialsSecret": f"cluster-credentials-{target}",
            "gatewayAddress": "203.0.113.10",
            "gatewayPort": "4143",
            "gatewayIdentity": IDENTITY,
            "probeSpec": {"path": "/ready", "port": "4191", "period": "3s"},
            "selector": {"matchLabels": {names.EXPORTED: "true"}},
            "remoteDiscoverySelector": {"matchLabels": {names.EXPORTED: "remote-discovery"}},
            "federatedServiceSelector": {"matchLabels": {names.FEDERATED: "member"}},
            **spec,
        },
    }


def service(
    name: str = "backend",
    namespace: str = "default",
    *,
    ports: tuple[Port, ...] = (Port(8080, "http"),),
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    version: str = "1",
    kind: str = "ClusterIP",
    headless: bool = False,
) -> Service:
    meta = Meta(
        name=name, namespace=namespace, labels=labels or {}, annotations=annotations or {}, resource_version=version
    )
    return Service(meta, ServiceSpec(ports, kind, cluster_ip="None" if headless else ""))


def gateway(*addresses: str, alive: bool = True, port: int = 4143) -> plans.Gateway:
    where = tuple(plans.GatewayAddress(address, port) for address in addresses or ("203.0.113.10",))
    return plans.Gateway(where, IDENTITY, alive)
