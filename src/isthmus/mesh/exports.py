"""What a gateway may reach: ready endpoints of exported services, and nothing else."""

from isthmus import names
from isthmus.mesh import addresses
from isthmus.mesh.model import Address, ExportCluster
from isthmus.mesh.state import State
from isthmus.resources.exports import exported, mirrored
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
    """Whether the pod with this address backs an exported service, ready or not."""
    return any(_is_exported(state, key) for key in state.backed_by(host))


def _exports(state: State, key: Key, address: Address) -> bool:
    if not _is_exported(state, key):
        return False
    service = state.service(key)
    port_names = {port.name for port in service.ports} if service else set()
    return any(
        any(address.port in item.port_numbers(name) for name in port_names)
        and any(endpoint.ready and address.host in endpoint.addresses for endpoint in item.endpoints or ())
        for item in state.slices(key)
    )


def _is_exported(state: State, key: Key) -> bool:
    """A mirror is never exported on: a gateway is no way into a third cluster."""
    service = state.service(key)
    return service is not None and exported(service) and mirrored(service) is None
