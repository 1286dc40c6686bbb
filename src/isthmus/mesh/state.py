"""Everything observed, indexed for the questions that proxies ask.

Writers put old and new values of objects and learn nothing; `topics` tell what changed, and what an answer depended on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from isthmus import names
from isthmus.mesh import routes
from isthmus.mesh.slices import Slices, addresses
from isthmus.mesh.topics import FEDERATION, LINKS, OPAQUE_PORTS, ROOTS, Topics
from isthmus.mesh.workloads import Workload
from isthmus.resources import ports
from isthmus.resources.core import Namespace, Service
from isthmus.resources.discovery import EndpointSlice
from isthmus.resources.keys import Key
from isthmus.resources.multicluster import FederatedTrustDomain, Link
from isthmus.resources.routes import HTTPRoute
from isthmus.resources.splits import TrafficSplit


@dataclass(frozen=True, slots=True)
class Remote:
    """A service of a linked cluster: its slices, and those of its pods that are known, by `endpoints.pod_id`.

    `heard` is whether the linked cluster said so; otherwise nobody waits for it any longer.
    """

    slices: tuple[EndpointSlice, ...] = ()
    workloads: Mapping[str, Workload] = field(default_factory=dict)
    heard: bool = True


RemoteKey = tuple[str, str, str]
"""Linked cluster, namespace, name."""


class State(Topics):
    """One cluster and the parts of linked ones that were asked for."""

    def __init__(self, *, trust_domain: str, cluster_networks: Iterable[str] = (), roots: str = "") -> None:
        super().__init__()
        self.trust_domain = trust_domain
        self.cluster_networks = tuple(cluster_networks)
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(each) for each in self.cluster_networks]
        self._roots = roots
        self._issuer = ""
        self._services: dict[Key, Service] = {}
        self._service_at: dict[str, Key] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._workloads: dict[Key, Workload] = {}
        self._workload_at: dict[str, Key] = {}
        self._slices = Slices()
        self._links: dict[Key, Link] = {}
        self._federated: dict[Key, FederatedTrustDomain] = {}
        self._remotes: dict[RemoteKey, Remote] = {}
        self._splits: dict[Key, dict[Key, TrafficSplit]] = {}
        self._routes: dict[Key, dict[tuple[str, str, str], HTTPRoute]] = {}
        self._opaque_ports: tuple[int, ...] | None = None

    # --- writes: old and new value of one object ----------------------------------------------------------------

    def set_service(self, old: Service | None, new: Service | None) -> None:
        item = new or old
        if item is None:
            return
        key = item.metadata.key
        for address in old.addresses if old else ():
            if self._service_at.get(address) == key:
                del self._service_at[address]
            self.changed.add(("host", address))
        if new is None:
            self._services.pop(key, None)
        else:
            self._services[key] = new
        for address in new.addresses if new else ():
            self._service_at[address] = key
            self.changed.add(("host", address))
        self.changed.add(("service", *key))
        if _opaque_terms(old) != _opaque_terms(new):
            self._forget_opaque_ports()

    def set_namespace(self, old: Namespace | None, new: Namespace | None) -> None:
        item = new or old
        if item is None:
            return
        name = item.metadata.name
        if new is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = new
        if _opaque_annotation(old) != _opaque_annotation(new):
            self.changed.add(("namespace", name))
            self._forget_opaque_ports()

    def set_workload(self, old: Workload | None, new: Workload | None) -> None:
        item = new or old
        if item is None or old == new:
            return
        key = (item.namespace, item.name)
        if old and old.ip and self._workload_at.get(old.ip) == key:
            del self._workload_at[old.ip]
        if new is None:
            self._workloads.pop(key, None)
        else:
            self._workloads[key] = new
            if new.ip:
                self._workload_at[new.ip] = key
        self.changed.update(("host", each.ip) for each in (old, new) if each and each.ip)
        self.changed.add(("pod", *key))

    def set_slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for service in self._slices.change(old, new):
            self.changed.add(("slices", *service))
        for address in addresses(old) | addresses(new):
            self.changed.add(("backed", address))

    def set_link(self, old: Link | None, new: Link | None) -> None:
        for each in (old, new):
            if each is not None:
                self._links.pop(each.metadata.key, None)
                self.changed.update((LINKS, ("link", each.cluster)))
        if new is not None:
            self._links[new.metadata.key] = new

    def set_federated(self, old: FederatedTrustDomain | None, new: FederatedTrustDomain | None) -> None:
        if old is not None:
            self._federated.pop(old.metadata.key, None)
        if new is not None:
            self._federated[new.metadata.key] = new
        if (old and old.status) != (new and new.status):
            self.changed.add(FEDERATION)

    def set_split(self, old: TrafficSplit | None, new: TrafficSplit | None) -> None:
        if old is not None:
            filed = self._splits.get(old.root, {})
            filed.pop(old.metadata.key, None)
            if not filed:
                self._splits.pop(old.root, None)
            self.changed.add(("split", *old.root))
        if new is not None:
            self._splits.setdefault(new.root, {})[new.metadata.key] = new
            self.changed.add(("split", *new.root))

    def set_route(self, kind: str, old: HTTPRoute | None, new: HTTPRoute | None) -> None:
        """`kind` tells routes of different API groups apart, which may have the same name."""
        for each in filter(None, (old, new)):
            for service in routes.parents(each):
                self._file_route(service, (kind, *each.metadata.key), each if each is new else None)
                self.changed.add(("routes", *service))

    def set_remote(self, key: RemoteKey, remote: Remote | None) -> None:
        if remote is None:
            self._remotes.pop(key, None)
        else:
            self._remotes[key] = remote
        self.changed.add(("remote", *key))

    def set_roots(self, roots: str) -> None:
        if roots != self._roots:
            self._roots = roots
            self.changed.add(ROOTS)

    def set_issuer(self, issuer: str) -> None:
        if issuer != self._issuer:
            self._issuer = issuer
            self.changed.add(ROOTS)

    # --- questions ----------------------------------------------------------------------------------------------

    def service_at(self, host: str) -> Service | None:
        """The Service that has this cluster, external or load balancer IP."""
        self._note("host", host)
        key = self._service_at.get(host)
        return self.service(key) if key else None

    def service(self, key: Key) -> Service | None:
        self._note("service", *key)
        return self._services.get(key)

    def workload_at(self, host: str) -> Workload | None:
        """The meshed pod that has this IP."""
        self._note("host", host)
        key = self._workload_at.get(host)
        return self._workloads.get(key) if key else None

    def workload(self, key: Key) -> Workload | None:
        self._note("pod", *key)
        return self._workloads.get(key)

    def slices(self, service: Key) -> tuple[EndpointSlice, ...]:
        self._note("slices", *service)
        return self._slices.of(service)

    def backed_by(self, host: str) -> tuple[Key, ...]:
        """The Services that list this address, ready or not."""
        self._note("backed", host)
        return self._slices.listing(host)

    def split(self, service: Key) -> TrafficSplit | None:
        """How the traffic of a service is shared; the oldest counts, should there be several."""
        self._note("split", *service)
        return min(self._splits.get(service, {}).values(), key=_age, default=None)

    def routes(self, service: Key) -> list[HTTPRoute]:
        """Routes that name a service as their parent, oldest first."""
        self._note("routes", *service)
        filed = self._routes.get(service, {}).items()
        return [route for _, route in sorted(filed, key=lambda each: (_age(each[1]), each[0]))]

    def link(self, cluster: str) -> Link | None:
        """The Link to a cluster; the oldest, should there be several."""
        self._note("link", cluster)
        return next((each for each in self._by_age() if each.cluster == cluster), None)

    def links(self) -> list[Link]:
        """One for each cluster."""
        self._note(*LINKS)
        found: dict[str, Link] = {}
        for each in self._by_age():
            found.setdefault(each.cluster, each)
        return list(found.values())

    def federated(self) -> list[FederatedTrustDomain]:
        """Oldest first."""
        self._note(*FEDERATION)
        return sorted(self._federated.values(), key=_age)

    def remote(self, key: RemoteKey) -> Remote | None:
        """A service of a linked cluster; None while it is not known yet."""
        self._note("remote", *key)
        return self._remotes.get(key)

    def roots(self) -> str:
        self._note(*ROOTS)
        return self._roots

    def issuer(self) -> str:
        """Who signs this cluster's certificates now, as the identity service calls it; "" while that is not known."""
        self._note(*ROOTS)
        return self._issuer

    def inside(self, host: str) -> bool:
        """Whether an address belongs to the networks of this cluster."""
        address = ip_address(host)
        return any(address in network for network in self._networks)

    def opaque_ports_of(self, service: Service) -> tuple[int, ...]:
        """By the Service's annotation, its namespace's, or the default."""
        namespace = service.metadata.namespace
        self._note("namespace", namespace)
        known = self._namespaces.get(namespace)
        return ports.opaque(service.metadata.annotations, known.metadata.annotations if known else {})

    def opaque_ports(self) -> tuple[int, ...]:
        """Ports that are opaque for every Service that has them.

        A proxy must choose between bytes and requests by the port, before it knows the Service.
        """
        self._note(*OPAQUE_PORTS)
        if self._opaque_ports is None:
            verdicts = dict.fromkeys(names.DEFAULT_OPAQUE_PORTS, True)
            seen: set[int] = set()
            for service in self._services.values():
                opaque = self.opaque_ports_of(service)
                for port in (each.port for each in service.ports):
                    verdicts[port] = port in opaque and (verdicts[port] if port in seen else True)
                    seen.add(port)
            self._opaque_ports = tuple(sorted(port for port, opaque in verdicts.items() if opaque))
        return self._opaque_ports

    # --- helpers ------------------------------------------------------------------------------------------------

    def _by_age(self) -> list[Link]:
        return sorted(self._links.values(), key=_age)

    def _forget_opaque_ports(self) -> None:
        self._opaque_ports = None
        self.changed.add(OPAQUE_PORTS)

    def _file_route(self, service: Key, key: tuple[str, str, str], route: HTTPRoute | None) -> None:
        filed = self._routes.setdefault(service, {})
        if route is not None:
            filed[key] = route
            return
        filed.pop(key, None)
        if not filed:
            self._routes.pop(service, None)


def _age(item: Link | FederatedTrustDomain | TrafficSplit | HTTPRoute) -> tuple[str, Key]:
    return item.metadata.creation_timestamp, item.metadata.key


def _opaque_annotation(item: Service | Namespace | None) -> str | None:
    return item.metadata.annotations.get(names.OPAQUE_PORTS_ANNOTATION) if item else None


def _opaque_terms(service: Service | None) -> tuple[str | None, tuple[int, ...]]:
    """What the opaque ports of all Services depend on."""
    return _opaque_annotation(service), tuple(port.port for port in service.ports) if service else ()
