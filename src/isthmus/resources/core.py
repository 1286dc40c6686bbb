"""Pods, Services, Namespaces and what else of the core API is read."""

import base64
import binascii

import msgspec

from isthmus.kube.kinds import Kind
from isthmus.kube.meta import Meta


class ContainerPort(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    container_port: int = 0
    name: str = ""
    protocol: str = "TCP"


class Request(msgspec.Struct, frozen=True, gc=False):
    """What a probe asks for over HTTP."""

    path: str = ""


class Call(msgspec.Struct, frozen=True, gc=False):
    """What a probe asks for over gRPC."""

    service: str | None = None


class Probe(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    http_get: Request | None = None
    grpc: Call | None = None


class Container(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    name: str = ""
    ports: tuple[ContainerPort, ...] | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None

    @property
    def probes(self) -> tuple[Probe, ...]:
        return tuple(filter(None, (self.liveness_probe, self.readiness_probe, self.startup_probe)))


class Condition(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A status condition of any object."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class PodSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    service_account_name: str = "default"
    node_name: str = ""
    host_network: bool = False
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None

    @property
    def all_containers(self) -> tuple[Container, ...]:
        """A native sidecar is an init container."""
        return (self.containers or ()) + (self.init_containers or ())


class PodStatus(msgspec.Struct, frozen=True, gc=False):
    phase: str = ""
    pod_ip: str = msgspec.field(name="podIP", default="")
    conditions: tuple[Condition, ...] | None = None


class Pod(msgspec.Struct, frozen=True, gc=False):
    metadata: Meta = Meta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        return any(each.type == "Ready" and each.status == "True" for each in self.status.conditions or ())

    @property
    def finished(self) -> bool:
        """Its address may already belong to another pod."""
        return self.status.phase in ("Succeeded", "Failed")


class ServicePortSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A port of a Service; the name is "" when there is only one."""

    port: int = 0
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str = 0
    node_port: int = 0
    app_protocol: str = ""


class ServiceSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    cluster_ips: tuple[str, ...] | None = msgspec.field(name="clusterIPs", default=None)
    external_ips: tuple[str, ...] | None = msgspec.field(name="externalIPs", default=None)
    ports: tuple[ServicePortSpec, ...] | None = None
    selector: dict[str, str] | None = None


class Ingress(msgspec.Struct, frozen=True, gc=False):
    """Where a load balancer answers."""

    ip: str = ""
    hostname: str = ""


class LoadBalancer(msgspec.Struct, frozen=True, gc=False):
    ingress: tuple[Ingress, ...] | None = None


class ServiceStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    load_balancer: LoadBalancer = LoadBalancer()


class Service(msgspec.Struct, frozen=True, gc=False):
    metadata: Meta = Meta()
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every IP that leads to it: cluster IPs, external IPs, load balancer IPs. None for a headless service."""
        cluster = self.spec.cluster_ips or (self.spec.cluster_ip,)
        balancer = (each.ip for each in self.status.load_balancer.ingress or ())
        found = (*cluster, *(self.spec.external_ips or ()), *balancer)
        return tuple(dict.fromkeys(ip for ip in found if ip and ip != "None"))

    @property
    def ports(self) -> tuple[ServicePortSpec, ...]:
        """TCP only: nothing else is carried by the mesh."""
        return tuple(port for port in self.spec.ports or () if port.protocol == "TCP")

    def port(self, number: int) -> ServicePortSpec | None:
        return next((port for port in self.ports if port.port == number), None)


class Namespace(msgspec.Struct, frozen=True, gc=False):
    metadata: Meta = Meta()


class ConfigMap(msgspec.Struct, frozen=True, gc=False):
    metadata: Meta = Meta()
    data: dict[str, str] = {}


class Secret(msgspec.Struct, frozen=True, gc=False):
    """A Secret, which shows nobody what is in it; `data` stays base64."""

    metadata: Meta = Meta()
    type: str = ""
    data: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Secret({self.metadata.namespace}/{self.metadata.name})"

    def value(self, key: str) -> bytes | None:
        """The decoded value, None when absent; raises ValueError when it is not base64."""
        if key not in self.data:
            return None
        try:
            return base64.b64decode(self.data[key], validate=True)
        except binascii.Error as error:
            raise ValueError(
                f"the key {key} of Secret {self.metadata.namespace}/{self.metadata.name} is not base64"
            ) from error


class NodeAddress(msgspec.Struct, frozen=True, gc=False):
    type: str = ""
    address: str = ""


class NodeStatus(msgspec.Struct, frozen=True, gc=False):
    addresses: tuple[NodeAddress, ...] | None = None
    conditions: tuple[Condition, ...] | None = None


class Node(msgspec.Struct, frozen=True, gc=False):
    metadata: Meta = Meta()
    status: NodeStatus = NodeStatus()


PODS = Kind("v1", "Pod", "pods", Pod)
SERVICES = Kind("v1", "Service", "services", Service)
NAMESPACES = Kind("v1", "Namespace", "namespaces", Namespace, namespaced=False)
CONFIG_MAPS = Kind("v1", "ConfigMap", "configmaps", ConfigMap)
SECRETS = Kind("v1", "Secret", "secrets", Secret)
NODES = Kind("v1", "Node", "nodes", Node, namespaced=False)
