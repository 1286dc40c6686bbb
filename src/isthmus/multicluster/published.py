"""The outside addresses of a target's gateway, as the Service there publishes them."""

from typing import Final

import msgspec

from isthmus.kube.kinds import Kind
from isthmus.kube.meta import Meta
from isthmus.resources import gateways
from isthmus.resources.gateways import Host

MOST: Final = 16
"""So many addresses of one gateway are used."""


class Port(msgspec.Struct, frozen=True, rename="camel"):
    port: int
    name: str = ""
    node_port: int = 0


class Ingress(msgspec.Struct, frozen=True):
    ip: str = ""
    hostname: str = ""


class LoadBalancer(msgspec.Struct, frozen=True):
    ingress: tuple[Ingress, ...] | None = None


class Spec(msgspec.Struct, frozen=True):
    type: str = "ClusterIP"
    ports: tuple[Port, ...] = ()


class Status(msgspec.Struct, frozen=True, rename="camel"):
    load_balancer: LoadBalancer = LoadBalancer()


class GatewayService(msgspec.Struct, frozen=True):
    """A Service, of which only where it is reached from outside counts."""

    metadata: Meta
    spec: Spec = Spec()
    status: Status = Status()

    @property
    def port(self) -> Port | None:
        """That of the gateway: by its name, or the first."""
        return next((port for port in self.spec.ports if port.name == "mc-gateway"), next(iter(self.spec.ports), None))


GATEWAY_SERVICES: Final = Kind("v1", "Service", "services", GatewayService)


def hosts(service: GatewayService | None) -> tuple[Host, ...]:
    """Where the load balancer leads to the gateway. Another cluster says so: addresses of here are not believed."""
    port = service.port if service else None
    if service is None or port is None or service.spec.type != "LoadBalancer":
        return ()
    written = [entry.ip or entry.hostname for entry in service.status.load_balancer.ingress or ()]
    found, _ = gateways.parse(",".join(f"[{text}]" if ":" in text else text for text in written), port.port)
    return tuple(host for host in found if not gateways.address(host.host) or gateways.leads_elsewhere(host.host))[
        :MOST
    ]


def problem(service: GatewayService | None, name: str) -> str:
    """Why the Service says no address, and what to do; "" where it says one."""
    if hosts(service):
        return ""
    port = service.port if service else None
    if service is None:
        why = "does not exist there"
    elif service.spec.type == "NodePort" and port is not None:
        return (
            f"Service {name} there is of type NodePort now, whose outside address it does not say: link again with "
            f"--gateway-address=<node-ip>:{port.node_port}."
        )
    elif service.spec.type == "LoadBalancer":
        why = "has no address of a load balancer there"
    else:
        why = f"is of type {service.spec.type} there, which has no outside address"
    return f"Service {name} {why}: what it said before is used."
