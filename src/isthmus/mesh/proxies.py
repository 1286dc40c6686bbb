"""One proxy: what its listeners depend on, and whether whoever connects is it."""

from collections.abc import Iterable

from isthmus import names
from isthmus.mesh import exports
from isthmus.mesh.model import ProxyConfig
from isthmus.mesh.state import State
from isthmus.mesh.workloads import Workload
from isthmus.resources.keys import Key


def pod_of(node_id: str) -> Key | None:
    """The pod that a node ID `<pod>.<namespace>` names; pod names may contain dots."""
    name, _, namespace = node_id.rpartition(".")
    return (namespace, name) if name and namespace else None


def refusal(state: State, node_id: str, spiffe_ids: Iterable[str]) -> str | None:
    """Why a client with these SPIFFE IDs may not speak as this node; None if it may."""
    key = pod_of(node_id)
    if key is None:
        return f"the node ID {node_id!r} is not <pod>.<namespace>"
    workload = state.workload(key)
    if workload is None:
        return f"there is no meshed pod {key[0]}/{key[1]} in this cluster"
    wanted = workload.identity(state.trust_domain).spiffe_id
    presented = sorted(spiffe_ids)
    if wanted in presented:
        return None
    return f"pod {key[0]}/{key[1]} is {wanted}, but the certificate is for {', '.join(presented) or 'nobody'}"


def config(state: State, pod: Key) -> ProxyConfig | None:
    """None once the pod is gone."""
    workload = state.workload(pod)
    if workload is None:
        return None
    return ProxyConfig(
        role="gateway" if workload.gateway else "sidecar",
        cluster_networks=state.cluster_networks,
        inbound_opaque_ports=workload.opaque_ports,
        outbound_opaque_ports=state.opaque_ports(),
        inbound_request_ports=tuple(sorted(_request_ports(state, workload) - set(workload.opaque_ports))),
        access_log=workload.access_log,
        sampling=workload.sampling,
        probe_paths=workload.probe_paths,
    )


def _request_ports(state: State, workload: Workload) -> set[int]:
    """The pod's ports that a Service declares to be HTTP by `appProtocol`."""
    found: set[int] = set()
    for key in state.backed_by(workload.ip) if workload.ip else ():
        service = state.service(key)
        declared = (
            [port for port in service.ports if port.app_protocol in names.REQUEST_APP_PROTOCOLS] if service else []
        )
        for item in state.slices(key) if declared else ():
            if any(workload.ip in endpoint.addresses for endpoint in item.endpoints or ()):
                found.update(number for port in declared for number in item.port_numbers(port.name))
    return found


def exposed(state: State, pod: Key) -> bool:
    """Whether other clusters may reach this pod: it is a gateway, or it backs an exported service."""
    workload = state.workload(pod)
    if workload is None:
        return False
    return workload.gateway or (bool(workload.ip) and exports.exports_pod(state, workload.ip))
