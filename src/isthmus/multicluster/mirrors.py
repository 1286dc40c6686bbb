"""What a Link makes, as a pure function of what is observed: mirror Services, their EndpointSlices, the probe Service.

A mirror is called `<service>-<cluster>`, in the namespace of the exported service. Its endpoints are the addresses of
the target's gateway: none while the exported service has no ready endpoint, not ready while the gateway is down.
"""

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from isthmus import names
from isthmus.kube.meta import Key, Meta
from isthmus.multicluster.links import Link
from isthmus.multicluster.objects import (
    Port,
    Readiness,
    Service,
    ServiceSpec,
    Slice,
    SliceEndpoint,
    SlicePort,
    is_mirror,
    made_for,
)

MAX_NAME: Final = 63
"""A Service name is a DNS label."""
PROBE_PORT_NAME: Final = "mc-probe"
NEVER_COPIED: Final = (
    names.MIRROR_PREFIX,
    "kubectl.kubernetes.io/",
    "service.kubernetes.io/topology-aware-hints",
    "service.kubernetes.io/topology-mode",
)
"""Metadata that is about the exporting cluster. Copying the export annotation would export the mirror back."""
ALWAYS_COPIED: Final = (names.OPAQUE_PORTS_ANNOTATION,)

Reason = Literal["Mirrored", "InvalidService", "MissingNamespace", "Error"]


@dataclass(frozen=True, slots=True)
class Export:
    """A remote Service that a Link selects, and whether any of its endpoints is ready."""

    service: Service
    ready: bool


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where the target's gateway answers now (IP addresses) and whether it does."""

    addresses: tuple[str, ...]
    port: int
    identity: str
    alive: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one exported service; `local` is its mirror's key."""

    remote: Key
    local: Key
    reason: Reason
    message: str = ""

    @property
    def mirrored(self) -> bool:
        return self.reason == "Mirrored"


@dataclass(frozen=True, slots=True)
class Plan:
    """The objects that should exist for one Link, and one outcome for each exported service."""

    services: Mapping[Key, Service]
    slices: Mapping[Key, Slice]
    outcomes: tuple[Outcome, ...]


NOTHING: Final = Plan({}, {}, ())
"""The plan of a Link that is being deleted, or that another Link to the same target precedes."""


def plan(
    link: Link,
    exports: Iterable[Export],
    *,
    gateway: Gateway | None,
    local: Mapping[Key, Service],
    namespaces: Collection[str],
) -> Plan:
    """What should exist now. `local` are the Services of this cluster, mirrors among them; others are never touched."""
    services: dict[Key, Service] = {}
    slices: dict[Key, Slice] = {}
    outcomes: list[Outcome] = []
    for export in sorted(exports, key=lambda export: export.service.key):
        outcome = judge(link, export.service, gateway=gateway, local=local, namespaces=namespaces)
        outcomes.append(outcome)
        if outcome.mirrored and gateway is not None:
            mirror = mirror_service(link, export.service, outcome.local)
            services[mirror.key] = mirror
            slices |= mirror_slices(link, mirror, gateway, export.ready)
    planned = Plan(services, slices, tuple(outcomes))
    return with_probe(planned, link, gateway=gateway, local=local, namespaces=namespaces)


def with_probe(
    planned: Plan,
    link: Link,
    *,
    gateway: Gateway | None,
    local: Mapping[Key, Service],
    namespaces: Collection[str],
) -> Plan:
    """The plan with the probe Service in it, which needs nothing of the target but its gateway's address."""
    probe = probe_service(link)
    free = _free(probe.key, link, local) and probe.metadata.namespace in namespaces and _fits(probe.metadata.name)
    if gateway is None or not free:
        return planned
    services = {**planned.services, probe.key: probe}
    return Plan(services, {**planned.slices, **probe_slices(link, probe, gateway)}, planned.outcomes)


def judge(
    link: Link,
    service: Service,
    *,
    gateway: Gateway | None,
    local: Mapping[Key, Service],
    namespaces: Collection[str],
) -> Outcome:
    """Whether an exported service can be mirrored, and why not."""
    namespace, name = service.key
    key = (namespace, f"{name}-{link.target}")

    def outcome(reason: Reason, message: str = "") -> Outcome:
        return Outcome(service.key, key, reason, message)

    if service.spec.type == "ExternalName":
        return outcome("InvalidService", "A Service of type ExternalName has no endpoints that could be mirrored.")
    if not tcp_ports(service):
        return outcome("InvalidService", "The Service has no TCP port; the gateway carries TCP only.")
    if not _fits(key[1]):
        return outcome(
            "InvalidService",
            f"Its mirror would be called {key[1]}, which has {len(key[1])} characters; a Service name has {MAX_NAME} "
            "at most. Give the service or the cluster a shorter name.",
        )
    if namespace not in namespaces:
        return outcome(
            "MissingNamespace",
            f"Namespace {namespace} does not exist in this cluster; the service is mirrored as soon as it does.",
        )
    if not _free(key, link, local):
        return outcome(
            "Error",
            f"A Service {namespace}/{key[1]} that is not a mirror of {link.target} exists already and is left alone. "
            "Rename or delete it to have this service mirrored.",
        )
    if gateway is None:
        return outcome("Error", f"Link {link.name} has no gatewayAddress; link again once the target has a gateway.")
    return outcome("Mirrored")


def _free(key: Key, link: Link, local: Mapping[Key, Service]) -> bool:
    existing = local.get(key)
    return existing is None or is_mirror(existing, link.target)


def _fits(name: str) -> bool:
    return len(name) <= MAX_NAME


def tcp_ports(service: Service) -> tuple[Port, ...]:
    return tuple(port for port in service.spec.ports if port.protocol == "TCP")


def hold(target: str, *, services: Mapping[Key, Service], slices: Mapping[Key, Slice], alive: bool) -> Plan:
    """What exists already, with the gateway's liveness in it: for as long as the target's exports are not known."""
    kept = {key: item for key, item in services.items() if is_mirror(item, target)}
    mine = {key: item for key, item in slices.items() if is_mirror(item, target)}
    return Plan(kept, {key: _with_liveness(item, alive) for key, item in mine.items()}, ())


def _with_liveness(item: Slice, alive: bool) -> Slice:
    if item.metadata.labels.get(names.MIRRORED_GATEWAY_LABEL) == "true":
        return item
    endpoints = tuple(SliceEndpoint(endpoint.addresses, Readiness(alive)) for endpoint in item.endpoints or ())
    return Slice(item.metadata, item.address_type, endpoints, item.ports)


# --- mirrors ------------------------------------------------------------------------------------------------------
def mirror_service(link: Link, remote: Service, key: Key) -> Service:
    metadata = remote.metadata
    annotations = {
        **copied(metadata.annotations, link.excluded_annotations),
        names.REMOTE_SERVICE_FQN_ANNOTATION: remote_name(link, remote),
        names.REMOTE_RESOURCE_VERSION_ANNOTATION: metadata.resource_version,
    }
    labels = copied(metadata.labels, link.excluded_labels) | made_for(link.target)
    ports = tuple(
        Port(port.port, port.name, port.protocol, port.target_port or port.port) for port in tcp_ports(remote)
    )
    return Service(Meta(namespace=key[0], name=key[1], labels=labels, annotations=annotations), ServiceSpec(ports))


def remote_name(link: Link, remote: Service) -> str:
    return f"{remote.metadata.name}.{remote.metadata.namespace}.svc.{link.domain}"


def copied(metadata: Mapping[str, str], excluded: Sequence[str]) -> dict[str, str]:
    """Labels or annotations that a mirror takes over from its service."""
    return {
        name: text
        for name, text in metadata.items()
        if name in ALWAYS_COPIED or not (name.startswith(NEVER_COPIED) or _excluded(name, excluded))
    }


def _excluded(name: str, patterns: Sequence[str]) -> bool:
    return any(
        name.startswith(pattern.removesuffix("*")) if pattern.endswith("/*") else name == pattern
        for pattern in patterns
    )


def mirror_slices(link: Link, mirror: Service, gateway: Gateway, ready: bool) -> dict[Key, Slice]:
    """One slice for each address family of the gateway; the first exists even when it is empty."""
    ports = tuple(SlicePort(port.name, gateway.port) for port in mirror.spec.ports)
    annotations = {
        names.REMOTE_SERVICE_FQN_ANNOTATION: mirror.metadata.annotations[names.REMOTE_SERVICE_FQN_ANNOTATION],
        names.REMOTE_GATEWAY_IDENTITY_ANNOTATION: gateway.identity,
    }
    return _slices(
        mirror, ports, gateway.addresses if ready else (), labels=made_for(link.target), annotations=annotations,
        alive=gateway.alive,
    )  # fmt: skip


def _slices(
    service: Service,
    ports: tuple[SlicePort, ...],
    addresses: Sequence[str],
    *,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    alive: bool,
) -> dict[Key, Slice]:
    namespace, name = service.key
    families: dict[str, list[str]] = {"IPv4": []}
    for address in addresses:
        families.setdefault(f"IPv{ipaddress.ip_address(address).version}", []).append(address)
    all_labels = {**labels, names.SERVICE_NAME_LABEL: name, names.MANAGED_BY_LABEL: names.MIRROR_MANAGER}
    made = [
        Slice(
            Meta(
                namespace=namespace,
                name=name if family == "IPv4" else f"{name}-{family.lower()}",
                labels=all_labels,
                annotations=dict(annotations),
            ),
            address_type=family,
            endpoints=tuple(SliceEndpoint((address,), Readiness(alive)) for address in sorted(members)),
            ports=ports,
        )
        for family, members in families.items()
    ]
    return {item.key: item for item in made}


# --- probe --------------------------------------------------------------------------------------------------------
def probe_service(link: Link) -> Service:
    """The Service that leads to the target's gateway itself, through any meshed pod's proxy."""
    labels = {names.MIRRORED_GATEWAY_LABEL: "true", names.CLUSTER_NAME_LABEL: link.target}
    port = Port(link.probe.port, PROBE_PORT_NAME, "TCP", link.probe.port)
    name = f"{names.PROBE_SERVICE_PREFIX}{link.target}"
    return Service(Meta(namespace=link.namespace, name=name, labels=labels), ServiceSpec((port,)))


def probe_slices(link: Link, probe: Service, gateway: Gateway) -> dict[Key, Slice]:
    """Never marked as not ready: the probe is what finds out."""
    return _slices(
        probe,
        (SlicePort(PROBE_PORT_NAME, gateway.port),),
        gateway.addresses,
        labels=probe.metadata.labels,
        annotations={names.REMOTE_GATEWAY_IDENTITY_ANNOTATION: gateway.identity},
        alive=True,
    )
