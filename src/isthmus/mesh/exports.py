"""What other clusters may reach: through a gateway, ready endpoints of exported services, and nothing else.

A federated member is exported in any case. A service that is exported for flat networks only (`remote-discovery`) has
no way through the gateway, but its pods believe the clients of linked clusters, who come by themselves.
"""

from isthmus import names
from isthmus.mesh import addresses
from isthmus.mesh.model import Address, ExportCluster
from isthmus.mesh.state import State
from isthmus.resources.core import Service
from isthmus.resources.exports import exported, federated_member, remotely_discovered
from isthmus.resources.keys import Key


def resolve(state: State, name: str) -> ExportCluster | None:
    """The cluster called `export/<ip>:<port>`."""
    address = addresses.parse(name, names.EXPORT_CLUSTER_PREFIX)
    if address is None:
        return None
    reachable = any(_exports(state, key, address) for key in state.backed_by(address.host))
    return ExportCluster(name, address) if reachable else None


def names_of(state: State, key: Key) -> list[str]:
    """The clusters of a service's endpoints that a gateway may reach now."""
    candidates = (
        Address(host, port.port)
        for item in state.slices(key)
        for port in item.ports or ()
        if port.port
        for endpoint in item.endpoints or ()
        for host in endpoint.addresses
    )
    return sorted({f"{names.EXPORT_CLUSTER_PREFIX}{each}" for each in candidates if _exports(state, key, each)})


def exports_pod(state: State, host: str) -> bool:
    """Whether the pod with this address backs a service that is exported in any way, ready or not."""
    services = (_own(state, key) for key in state.backed_by(host))
    return any(_through_gateway(service) or remotely_discovered(service) for service in services if service)


def _exports(state: State, key: Key, address: Address) -> bool:
    service = _own(state, key)
    if service is None or not _through_gateway(service):
        return False
    port_names = {port.name for port in service.ports}
    return any(
        any(address.port in item.port_numbers(name) for name in port_names)
        and any(endpoint.ready and address.host in endpoint.addresses for endpoint in item.endpoints or ())
        for item in state.slices(key)
    )


def _own(state: State, key: Key) -> Service | None:
    """A mirror is never exported on: a gateway is no way into a third cluster."""
    service = state.service(key)
    return service if service and service.metadata.labels.get(names.MIRRORED_SERVICE_LABEL) != "true" else None


def _through_gateway(service: Service) -> bool:
    return exported(service) or federated_member(service)
