"""Pods as the mesh sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from isthmus import names
from isthmus.mesh.model import Identity
from isthmus.resources import ports, tracing
from isthmus.resources.core import Pod, Probe

_GRPC_PROBE: Final = "/grpc.health.v1.Health/Check"
_MOST_PROBES: Final = 16


@dataclass(frozen=True, slots=True)
class Workload:
    """What does not change while a pod lives, and where it is."""

    namespace: str
    name: str
    uid: str
    ip: str
    service_account: str
    meshed: bool
    gateway: bool
    opaque_ports: tuple[int, ...]
    skipped_ports: frozenset[int]
    access_log: Literal["", "apache", "json"] = ""
    sampling: int | None = None
    """Of a million traces how many begin here; None where the proxy makes no spans."""
    owner: str = ""
    """What made the pod, as `deployment/web`; "" where that is not known."""
    probe_paths: tuple[str, ...] = ()
    """Where kubelet asks the application how it is."""

    def identity(self, trust_domain: str) -> Identity:
        return Identity(trust_domain, self.namespace, self.service_account)

    def identity_at(self, port: int, trust_domain: str) -> Identity | None:
        """Who answers at a port: None where no proxy does."""
        return self.identity(trust_domain) if self.meshed and port not in self.skipped_ports else None


def workload(pod: Pod) -> Workload:
    metadata = pod.metadata
    return Workload(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        ip="" if pod.finished or pod.spec.host_network else pod.status.pod_ip,
        service_account=pod.spec.service_account_name,
        meshed=meshed(pod),
        gateway=metadata.annotations.get(names.ENABLE_GATEWAY_ANNOTATION) in names.SWITCHED_ON,
        opaque_ports=ports.opaque(metadata.annotations),
        skipped_ports=ports.skipped_inbound(metadata.annotations),
        access_log=_access_log(metadata.annotations),
        sampling=tracing.sampling(metadata.annotations),
        owner=_owner(metadata.labels),
        probe_paths=_probe_paths(pod),
    )


def _probe_paths(pod: Pod) -> tuple[str, ...]:
    """In the same order for all pods of a template; of a pod with very many probes, some."""
    own = (each for each in pod.spec.all_containers if each.name != names.PROXY_CONTAINER)
    paths = {path for container in own for probe in container.probes if (path := _probe_path(probe))}
    return tuple(sorted(paths)[:_MOST_PROBES])


def _probe_path(probe: Probe) -> str:
    if probe.grpc:
        return _GRPC_PROBE
    return f"/{probe.http_get.path.removeprefix('/')}" if probe.http_get else ""


def _access_log(annotations: Mapping[str, str]) -> Literal["", "apache", "json"]:
    """Anything else than a format is none, as with Linkerd."""
    match annotations.get(names.ACCESS_LOG_ANNOTATION, ""):
        case "apache":
            return "apache"
        case "json":
            return "json"
        case _:
            return ""


def _owner(labels: Mapping[str, str]) -> str:
    """As the injector wrote it; the gateway of a cluster is a Deployment like any other."""
    found = (
        f"{label.removeprefix(names.PROXY_OWNER_LABEL_PREFIX)}/{name}"
        for label, name in labels.items()
        if label.startswith(names.PROXY_OWNER_LABEL_PREFIX)
    )
    return min(found, default="")


def meshed(pod: Pod) -> bool:
    """Injected: the label says that it was asked for, the container that it was done."""
    return names.CONTROL_PLANE_NS_LABEL in pod.metadata.labels and any(
        container.name == names.PROXY_CONTAINER for container in pod.spec.all_containers
    )
