"""The objects this room reads and writes, trimmed to what mirroring needs; everything else is dropped when decoding."""

from typing import Any, Final

import msgspec

from isthmus import names
from isthmus.kube.kinds import Kind, plain
from isthmus.kube.meta import Key, Meta


class Port(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A port of a Service."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None


class ServiceSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    ports: tuple[Port, ...] = ()
    type: str = "ClusterIP"
    selector: dict[str, str] = {}
    cluster_ip: str = msgspec.field(name="clusterIP", default="")


class Service(msgspec.Struct, frozen=True):
    """A Service, remote or local."""

    metadata: Meta
    spec: ServiceSpec = ServiceSpec()

    @property
    def key(self) -> Key:
        return self.metadata.key

    @property
    def headless(self) -> bool:
        return self.spec.cluster_ip == HEADLESS


HEADLESS: Final = "None"
"""The `clusterIP` of a Service whose name resolves to its endpoints."""


class Readiness(msgspec.Struct, frozen=True):
    """Conditions of an endpoint; absent means ready."""

    ready: bool | None = None


class SliceEndpoint(msgspec.Struct, frozen=True):
    """An endpoint; with a hostname it resolves as `<hostname>.<service>`."""

    addresses: tuple[str, ...] = ()
    conditions: Readiness = Readiness()
    hostname: str | None = None


class SlicePort(msgspec.Struct, frozen=True):
    name: str = ""
    port: int | None = None
    protocol: str = "TCP"


class Slice(msgspec.Struct, frozen=True, rename="camel"):
    """An EndpointSlice."""

    metadata: Meta
    address_type: str = "IPv4"
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[SlicePort, ...] | None = None

    @property
    def key(self) -> Key:
        return self.metadata.key


class ReadySlice(msgspec.Struct, frozen=True):
    """A remote EndpointSlice, of which only readiness and hostnames count: no addresses are kept."""

    metadata: Meta
    endpoints: "tuple[_ReadyEndpoint, ...] | None" = None

    @property
    def ready(self) -> bool:
        return any(endpoint.ready for endpoint in self.endpoints or ())


class _ReadyEndpoint(msgspec.Struct, frozen=True):
    conditions: Readiness = Readiness()
    hostname: str | None = None

    @property
    def ready(self) -> bool:
        return self.conditions.ready is not False


class Named(msgspec.Struct, frozen=True):
    """An object of which only the name counts."""

    metadata: Meta


SERVICES: Final = Kind("v1", "Service", "services", Service)
SLICES: Final = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", Slice)
READY_SLICES: Final = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", ReadySlice)
NAMESPACES: Final = Kind("v1", "Namespace", "namespaces", Named, namespaced=False)
LINKS: Final = plain(f"{names.LINK_GROUP}/{names.LINK_VERSION}", "Link", "links")
FEDERATED_TRUST_DOMAINS: Final = plain(
    f"{names.FEDERATION_GROUP}/{names.FEDERATION_VERSION}", "FederatedTrustDomain", "federatedtrustdomains"
)


def made_for(target: str) -> dict[str, str]:
    """The labels that say which linked cluster an object was made for: the only memory that survives a crash."""
    return {names.MIRRORED_SERVICE_LABEL: "true", names.CLUSTER_NAME_LABEL: target}


def is_federated(item: Service) -> bool:
    """Whether a Service is the union of others; it was made for no single cluster."""
    labels, annotations = item.metadata.labels, item.metadata.annotations
    return (
        labels.get(names.MIRRORED_SERVICE_LABEL) == "true"
        and names.CLUSTER_NAME_LABEL not in labels
        and bool({names.REMOTE_DISCOVERY, names.LOCAL_DISCOVERY_ANNOTATION} & annotations.keys())
    )


def is_mirror(item: Service | Slice, target: str) -> bool:
    """Whether an object is a mirror (or a mirror's slice) of this linked cluster."""
    labels = item.metadata.labels
    ours = labels.get(names.MIRRORED_SERVICE_LABEL) == "true" or labels.get(names.MIRRORED_GATEWAY_LABEL) == "true"
    if isinstance(item, Slice):
        ours = ours and labels.get(names.MANAGED_BY_LABEL) == names.MIRROR_MANAGER
    return ours and labels.get(names.CLUSTER_NAME_LABEL) == target


def body(item: Service | Slice) -> dict[str, Any]:
    """The object as it is sent: no empty fields, nothing that the API server fills in."""
    metadata = item.metadata
    made: dict[str, Any] = {
        "metadata": {
            "name": metadata.name,
            "namespace": metadata.namespace,
            "labels": dict(metadata.labels),
            "annotations": dict(metadata.annotations),
        }
    }
    if isinstance(item, Service):
        address = {"clusterIP": HEADLESS} if item.headless else {}
        return made | {"spec": address | service_spec(item)}
    return made | {"addressType": item.address_type, **slice_content(item)}


def service_spec(service: Service) -> dict[str, Any]:
    ports = [
        {"name": port.name, "port": port.port, "protocol": port.protocol, "targetPort": port.target_port or port.port}
        for port in service.spec.ports
    ]
    return {"ports": [port if port["name"] else {k: v for k, v in port.items() if k != "name"} for port in ports]}


def slice_content(item: Slice) -> dict[str, Any]:
    return {
        "endpoints": [_endpoint(endpoint) for endpoint in item.endpoints or ()],
        "ports": [{"name": port.name, "port": port.port, "protocol": port.protocol} for port in item.ports or ()],
    }


def _endpoint(endpoint: SliceEndpoint) -> dict[str, Any]:
    made: dict[str, Any] = {
        "addresses": list(endpoint.addresses),
        "conditions": {"ready": endpoint.conditions.ready is not False},
    }
    return made | {"hostname": endpoint.hostname} if endpoint.hostname else made
