"""What an original destination is: a service, a mirror of a remote one, a gateway's probe, a pod, or an address."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import ip_address
from typing import Final, NamedTuple

from isthmus import names
from isthmus.mesh import addresses, gateways, routes, splits
from isthmus.mesh.endpoints import UNKNOWN, Found, Origin, endpoints, is_pod, pod_id, pod_key
from isthmus.mesh.model import SPILL_BELOW, Address, Endpoint, GatewayCluster, OutboundCluster, ServicePort
from isthmus.mesh.state import State
from isthmus.mesh.workloads import Workload
from isthmus.resources.core import Service, ServicePortSpec
from isthmus.resources.discovery import EndpointSlice, SliceEndpoint
from isthmus.resources.exports import Federation, Mirrored, federation, mirrored, mirrored_gateway
from isthmus.resources.failover import spill_below
from isthmus.resources.keys import Key


class Pending(Enum):
    """No answer yet: the linked cluster has not been heard."""

    PENDING = auto()


PENDING: Final = Pending.PENDING

Answer = OutboundCluster | GatewayCluster | Pending | None


def resolve(state: State, name: str) -> Answer:
    """The cluster called `outbound/<ip>:<port>`; None when nothing can be there.

    A probe Service answers with the gateway itself, under the name that was asked for.
    """
    address = addresses.parse(name, names.OUTBOUND_CLUSTER_PREFIX)
    if address is None:
        return None
    service = state.service_at(address.host)
    if service is not None:
        return _service(state, name, service, address.port)
    workload = state.workload_at(address.host)
    if workload is not None:
        return _pod(state, name, workload, address)
    return _plain(state, name, address) if state.inside(address.host) else None


def _service(state: State, name: str, service: Service, number: int) -> Answer:
    if cluster := mirrored_gateway(service):
        return gateways.resolve(state, cluster, name=name, port=number)
    port = service.port(number)
    if port is None:
        return None
    sharing = _sharing(state, service, port)
    found = _shared(state, service, sharing, port) if sharing else _backend(state, service, port)
    annotations = sharing.annotations if sharing else service.metadata.annotations
    percent = spill_below(annotations)
    if found.nobody and found.pending:
        return PENDING
    remote = mirrored(service)
    return OutboundCluster(
        name=name,
        service=ServicePort(service.metadata.namespace, service.metadata.name, number),
        priorities=found.priorities if len(found.priorities) > 1 else (_ready(found.priorities[0]),),
        target_cluster=remote.cluster if remote else "",
        opaque=number in state.opaque_ports_of(service),
        shared=found.shared,
        spill_below=SPILL_BELOW if percent is None else percent,
        provisional=found.pending or (found.nobody and found.unheard),
    )


def _ready(group: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Without anybody standing by there is nobody who would need to know how many are missing."""
    return tuple(endpoint for endpoint in group if endpoint.ready)


@dataclass(frozen=True, slots=True)
class _Found:
    """Who answers for a service, in failover order, as far as it is known.

    A linked cluster that is `pending` was asked just now; one that is `unheard` did not answer. Requests wait only
    while there is nobody else. But what a proxy has stays good while one is pending, or each start of this process
    would take the standbys away for a moment.
    """

    priorities: splits.Groups
    shared: bool = False
    pending: bool = False
    unheard: bool = False

    @property
    def nobody(self) -> bool:
        return not any(endpoint.ready for group in self.priorities for endpoint in group)


_NOBODY: Final = _Found(((),))


def _sharing(state: State, service: Service, port: ServicePortSpec) -> splits.Sharing | None:
    """The oldest route that is attached counts, before any split; None where the Service answers itself."""
    for route in state.routes(service.metadata.key):
        if routes.attached(route, service, port.port):
            return routes.sharing(route, service)
    split = state.split(service.metadata.key)
    return splits.sharing(split) if split else None


def _shared(state: State, root: Service, sharing: splits.Sharing, port: ServicePortSpec) -> _Found:
    """The backends. One that does not exist, or not at this port, is nobody and disturbs no other."""
    backends = [_named(state, root, each, port) for each in sharing.backends]
    shares = [
        splits.Share(each.service, each.weight, found.priorities)
        for each, found in zip(sharing.backends, backends, strict=True)
    ]
    return _Found(
        splits.priorities(shares) or ((),),
        shared=sum(1 for each in sharing.backends if each.weight) > 1,
        pending=any(found.pending for found in backends),
        unheard=any(found.unheard for found in backends),
    )


def _named(state: State, root: Service, wanted: splits.Wanted, called: ServicePortSpec) -> _Found:
    service = state.service((root.metadata.namespace, wanted.service))
    port = None
    if service:
        port = splits.port_of(service, called) if wanted.port is None else service.port(wanted.port)
    return _backend(state, service, port) if service and port else _NOBODY


def _backend(state: State, service: Service, port: ServicePortSpec) -> _Found:
    if mirror := mirrored(service):
        return _remote(state, mirror, _Port(port.name, only=len(service.ports) == 1), gateway=not mirror.flat)
    if union := federation(service):
        return _federated(state, service, union, port)
    return _Found((_local(state, service, port),))


def _federated(state: State, service: Service, union: Federation, port: ServicePortSpec) -> _Found:
    """Who is here comes first; then all members in linked clusters together, each the way its Link says."""
    namespace = service.metadata.namespace
    wanted = _Port(port.name, only=len(service.ports) == 1)
    found = [
        _remote(state, Mirrored(cluster, namespace, name), wanted, gateway=gateways.present(state, cluster))
        for name, cluster in union.remote
    ]
    here = [_here(state, (namespace, union.local), port)] if union.local else []
    there = [endpoint for each in found for endpoint in each.priorities[0]]
    return _Found(
        splits.each_once([*here, there]),
        pending=any(each.pending for each in found),
        unheard=any(each.unheard for each in found),
    )


def _here(state: State, local: Key, root: ServicePortSpec) -> tuple[Endpoint, ...]:
    service = state.service(local)
    port = splits.port_of(service, root) if service else None
    return _local(state, service, port) if service and port else ()


def _local(state: State, service: Service, port: ServicePortSpec) -> tuple[Endpoint, ...]:
    def find(item: EndpointSlice, endpoint: SliceEndpoint) -> Found:
        key = pod_key(item, endpoint)
        if key is None:
            return state.workload_at(endpoint.addresses[0]) if endpoint.addresses else None
        workload = state.workload(key)
        # Only meshed pods are observed; one of the same name but another life is not the one that answers here.
        return UNKNOWN if workload and not is_pod(endpoint, workload.uid) else workload

    return endpoints(state.slices(service.metadata.key), port.name, find, origin=Origin(state.trust_domain))


class _Port(NamedTuple):
    """What a port is called here, and whether it is the only one."""

    name: str
    only: bool

    def among(self, slices: Iterable[EndpointSlice]) -> str:
        """What it is called there: a member of a federated service may have another name for its only port."""
        called = {port.name or "" for item in slices for port in item.ports or () if (port.protocol or "TCP") == "TCP"}
        return called.pop() if self.only and len(called) == 1 else self.name


def _remote(state: State, mirror: Mirrored, port: _Port, *, gateway: bool) -> _Found:
    """Pods of the linked cluster; nobody while it is not known who would vouch for them."""
    link = state.link(mirror.cluster)
    if link is None or not link.trust_domain:
        return _NOBODY
    remote = state.remote((mirror.cluster, mirror.namespace, mirror.name))
    if remote is None:
        return _Found(((),), pending=True)

    def find(item: EndpointSlice, endpoint: SliceEndpoint) -> Found:
        pod = pod_id(item, endpoint)
        return remote.workloads.get(pod, UNKNOWN) if pod else None

    origin = Origin(link.trust_domain, mirror.cluster, mirror.namespace, mirror.name, gateway=gateway)
    found = endpoints(remote.slices, port.among(remote.slices), find, origin=origin, hostname=mirror.hostname)
    believed = found if gateway else tuple(each for each in found if each.identity or not _is_ours(state, each.address))
    return _Found((believed,), unheard=not remote.heard)


def _is_ours(state: State, address: Address) -> bool:
    """Whether something of this cluster has the address: another one cannot lead requests there in plain text.

    An IPv6 address can be written in many ways; objects of this cluster have the usual one.
    """
    host = str(ip_address(address.host))
    return bool(state.service_at(host) or state.workload_at(host) or state.backed_by(host))


def _pod(state: State, name: str, workload: Workload, address: Address) -> OutboundCluster:
    endpoint = Endpoint(
        address=address,
        identity=workload.identity_at(address.port, state.trust_domain),
        pod=workload.name,
        owner=workload.owner,
    )
    return OutboundCluster(
        name=name,
        service=_service_of(state, address) or ServicePort(workload.namespace, workload.name, address.port),
        priorities=((endpoint,),),
        opaque=address.port in workload.opaque_ports,
    )


def _service_of(state: State, address: Address) -> ServicePort | None:
    """The service that a pod is called for when it is called by its own address, as headless services are."""
    for key in state.backed_by(address.host):
        service = state.service(key)
        for port in service.ports if service else ():
            if any(
                address.port in item.port_numbers(port.name)
                and any(address.host in endpoint.addresses for endpoint in item.endpoints or ())
                for item in state.slices(key)
            ):
                return ServicePort(*key, port.port)
    return None


def _plain(state: State, name: str, address: Address) -> OutboundCluster:
    """An address of this cluster that is no meshed pod: reached as it would be without a mesh."""
    return OutboundCluster(
        name=name,
        service=_service_of(state, address) or ServicePort("", address.host, address.port),
        priorities=((Endpoint(address=address, identity=None),),),
        opaque=address.port in names.DEFAULT_OPAQUE_PORTS,
    )
