"""Objects as a test wants to write them."""

from typing import Any

import msgspec

from isthmus import names
from isthmus.mesh.state import State
from isthmus.mesh.workloads import workload
from isthmus.resources.core import Namespace, Pod, Service
from isthmus.resources.discovery import EndpointSlice
from isthmus.resources.multicluster import FederatedTrustDomain, Link
from isthmus.resources.splits import TrafficSplit

DOMAIN = "root-1.cluster.local"
NETWORKS = ("10.244.0.0/16", "10.96.0.0/16")


def state() -> State:
    return State(trust_domain=DOMAIN, cluster_networks=NETWORKS, roots="own roots")


def pod_json(name: str, ip: str, *, namespace: str = "shop", account: str = "default", **metadata: Any) -> Any:
    """A meshed pod."""
    labels = {names.CONTROL_PLANE_NS_LABEL: "linkerd"} | metadata.pop("labels", {})
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels, **metadata},
        "spec": {"serviceAccountName": account, "initContainers": [{"name": names.PROXY_CONTAINER}]},
        "status": {"podIP": ip, "phase": "Running"},
    }


def pod(name: str, ip: str, **options: Any) -> Pod:
    return msgspec.convert(pod_json(name, ip, **options), Pod)


def service_json(name: str, ip: str, *ports: int | tuple[str, int], namespace: str = "shop", **metadata: Any) -> Any:
    specs = [{"port": each} if isinstance(each, int) else {"name": each[0], "port": each[1]} for each in ports]
    return {"metadata": {"name": name, "namespace": namespace, **metadata}, "spec": {"clusterIP": ip, "ports": specs}}


def service(name: str, ip: str, *ports: int | tuple[str, int], **options: Any) -> Service:
    return msgspec.convert(service_json(name, ip, *ports, **options), Service)


def slice_json(of: str, *endpoints: Any, port: int = 8080, port_name: str = "", namespace: str = "shop") -> Any:
    return {
        "metadata": {"name": f"{of}-1", "namespace": namespace, "labels": {names.SERVICE_NAME_LABEL: of}},
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
    }


def endpoint(ip: str, pod_name: str = "", *, namespace: str = "shop", **conditions: bool) -> Any:
    target = {"kind": "Pod", "name": pod_name, "namespace": namespace, "uid": f"uid-{pod_name}"}
    return {"addresses": [ip], "conditions": conditions, **({"targetRef": target} if pod_name else {})}


def endpoint_slice(of: str, *endpoints: Any, **options: Any) -> EndpointSlice:
    return msgspec.convert(slice_json(of, *endpoints, **options), EndpointSlice)


def link_json(cluster: str, *, trust_domain: str = "root-2.cluster.local", bundle: str = "", **spec: Any) -> Any:
    return {
        "metadata": {"name": f"linkerd-{cluster}", "namespace": "linkerd-multicluster"},
        "spec": {
            "targetClusterName": cluster,
            "gatewayAddress": "172.30.11.1",
            "gatewayPort": "4143",
            "gatewayIdentity": (f"linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.{trust_domain}"),
            **spec,
        },
        "status": {"trustDomain": trust_domain, "trustBundle": bundle or f"roots of {cluster}"},
    }


def link(cluster: str, **options: Any) -> Link:
    return msgspec.convert(link_json(cluster, **options), Link)


def mirror_metadata(cluster: str, fqn: str) -> dict[str, Any]:
    return {
        "labels": {names.MIRRORED_SERVICE_LABEL: "true", names.CLUSTER_NAME_LABEL: cluster},
        "annotations": {names.REMOTE_SERVICE_FQN_ANNOTATION: fqn},
    }


def federated(domain: str, bundle: str, *, created: str = "", name: str = "") -> FederatedTrustDomain:
    metadata = {"name": name or domain, "namespace": "linkerd-multicluster", "creationTimestamp": created}
    return msgspec.convert(
        {"metadata": metadata, "status": {"trustDomain": domain, "bundle": bundle}}, FederatedTrustDomain
    )


def split(service: str, *backends: tuple[str, Any], namespace: str = "shop", **metadata: Any) -> TrafficSplit:
    given = {"name": f"{service}-split", "namespace": namespace, **metadata}
    listed = [{"service": name, "weight": weight} for name, weight in backends]
    return msgspec.convert({"metadata": given, "spec": {"service": service, "backends": listed}}, TrafficSplit)


def put(into: State, *objects: object) -> None:
    """Add objects to a state."""
    for each in objects:
        match each:
            case Pod():
                into.set_workload(None, workload(each))
            case Service():
                into.set_service(None, each)
            case EndpointSlice():
                into.set_slice(None, each)
            case Link():
                into.set_link(None, each)
            case FederatedTrustDomain():
                into.set_federated(None, each)
            case Namespace():
                into.set_namespace(None, each)
            case _:
                raise TypeError(each)
