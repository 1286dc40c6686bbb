"""From slices and pods to endpoints that know who they are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv6Address, ip_address
from typing import Final

from isthmus.mesh.model import Address, Endpoint
from isthmus.mesh.workloads import Workload
from isthmus.resources.discovery import EndpointSlice, SliceEndpoint


class Unknown(Enum):
    """There is a pod, but who it is has not been learned: it must not be dialled, least of all in plain text."""

    UNKNOWN = auto()


UNKNOWN: Final = Unknown.UNKNOWN

Found = Workload | Unknown | None
"""The pod behind an endpoint; None when it has no proxy or is not a pod."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose endpoints they are: who vouches for them, and for a linked cluster's, what they answer for there."""

    trust_domain: str
    cluster: str = ""
    namespace: str = ""
    service: str = ""
    gateway: bool = False


def endpoints(
    slices: Iterable[EndpointSlice],
    port_name: str,
    find: Callable[[EndpointSlice, SliceEndpoint], Found],
    *,
    origin: Origin,
    hostname: str = "",
) -> tuple[Endpoint, ...]:
    """Endpoints of one port, each address once, in a stable order; only those of a hostname, if it is given.

    Also those that are not ready (yet, or any more): whoever stands by must know how many are missing.
    """
    found: dict[Address, Endpoint] = {}
    for item in slices:
        if item.address_type == "FQDN":
            # Envoy refuses names among endpoints, and with them whatever else it is told at the same time.
            continue
        numbers = item.port_numbers(port_name)
        for endpoint in item.endpoints or ():
            if endpoint.leaving or (hostname and endpoint.hostname != hostname):
                continue
            workload = find(item, endpoint)
            if isinstance(workload, Unknown):
                continue
            for address in filter(_may_be_dialled(origin), endpoint.addresses):
                for number in numbers:
                    where = Address(address, number)
                    if where in found and found[where].ready:
                        continue
                    found[where] = Endpoint(
                        address=where,
                        identity=workload.identity_at(number, origin.trust_domain) if workload else None,
                        gateway=origin.cluster if origin.gateway else None,
                        pod=endpoint.target_ref.name if endpoint.target_ref else "",
                        cluster=origin.cluster,
                        namespace=origin.namespace,
                        service=origin.service,
                        owner=workload.owner if workload else "",
                        ready=endpoint.ready,
                    )
    return tuple(found[where] for where in sorted(found))


def _may_be_dialled(origin: Origin) -> Callable[[str], bool]:
    """What another cluster says must not lead a proxy to its own node or pod."""
    return _is_elsewhere if origin.cluster and not origin.gateway else lambda _: True


def _is_elsewhere(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address.scope_id):
        return False
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)


def pod_key(item: EndpointSlice, endpoint: SliceEndpoint) -> tuple[str, str] | None:
    """The pod that an endpoint names."""
    target = endpoint.target_ref
    if target is None or target.kind != "Pod" or not target.name:
        return None
    return target.namespace or item.metadata.namespace, target.name


def pod_id(item: EndpointSlice, endpoint: SliceEndpoint) -> str | None:
    """One life of the pod that an endpoint names: a StatefulSet gives the same name again and again."""
    key = pod_key(item, endpoint)
    target = endpoint.target_ref
    if key is None or target is None:
        return None
    return target.uid or "/".join(key)


def is_pod(endpoint: SliceEndpoint, uid: str) -> bool:
    """Whether the endpoint means the pod with this UID, as far as it says."""
    target = endpoint.target_ref
    return target is None or not target.uid or not uid or target.uid == uid
