"""What every Service that is made for a Link has in common: what it takes over, and what it cannot be made from."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final

from isthmus import names
from isthmus.kube.meta import Key, Meta
from isthmus.multicluster.objects import Port, Service, Slice, SliceEndpoint, SlicePort
from isthmus.multicluster.plans import Reason

MAX_NAME: Final = 63
"""A Service name is a DNS label."""
NEVER_COPIED: Final = (
    names.MIRROR_PREFIX,
    names.DISCOVERY_PREFIX,
    "kubectl.kubernetes.io/",
    "service.kubernetes.io/topology-aware-hints",
    "service.kubernetes.io/topology-mode",
)
"""Metadata about the exporting cluster, or that decides where clients are led: no other cluster may say that."""
ALWAYS_COPIED: Final = (names.OPAQUE_PORTS_ANNOTATION,)


def unusable(service: Service, name: str) -> tuple[Reason, str] | None:
    """Why no Service called `name` can be made from this one; None if it can."""
    if service.spec.type == "ExternalName":
        return "InvalidService", "A Service of type ExternalName has no endpoints that could be mirrored."
    if not tcp_ports(service):
        return "InvalidService", "The Service has no TCP port; the gateway carries TCP only."
    if not fits(name):
        return (
            "InvalidService",
            f"Its mirror would be called {name}, which has {len(name)} characters; a Service name has {MAX_NAME} at "
            "most. Give the service or the cluster a shorter name.",
        )
    return None


def missing_namespace(namespace: str) -> tuple[Reason, str]:
    return (
        "MissingNamespace",
        f"Namespace {namespace} does not exist in this cluster; the service is mirrored as soon as it does.",
    )


def fits(name: str) -> bool:
    return len(name) <= MAX_NAME


def tcp_ports(service: Service) -> tuple[Port, ...]:
    return tuple(port for port in service.spec.ports if port.protocol == "TCP")


def ports(service: Service) -> tuple[Port, ...]:
    """The ports of a Service that stands for this one."""
    return tuple(
        Port(port.port, port.name, port.protocol, port.target_port or port.port) for port in tcp_ports(service)
    )


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


def slices(
    service: Service,
    slice_ports: Mapping[int, tuple[SlicePort, ...]],
    endpoints: Sequence[tuple[int, SliceEndpoint]],
    *,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> dict[Key, Slice]:
    """One slice for each address family and port of the far side; that of IPv4 and the first port is never missing.

    `slice_ports` are the ports of a slice, by the port there, which comes with each endpoint.
    """
    namespace, name = service.key
    first = next(iter(slice_ports))
    members: dict[tuple[str, int], list[SliceEndpoint]] = {("IPv4", first): []}
    for number, endpoint in endpoints:
        family = f"IPv{ipaddress.ip_address(endpoint.addresses[0]).version}"
        members.setdefault((family, number), []).append(endpoint)
    all_labels = {**labels, names.SERVICE_NAME_LABEL: name, names.MANAGED_BY_LABEL: names.MIRROR_MANAGER}
    made = [
        Slice(
            Meta(
                namespace=namespace,
                name=name + ("" if family == "IPv4" else "-ipv6") + ("" if number == first else f"-{number}"),
                labels=all_labels,
                annotations=dict(annotations),
            ),
            address_type=family,
            endpoints=tuple(sorted(found, key=lambda endpoint: endpoint.addresses)),
            ports=slice_ports[number],
        )
        for (family, number), found in members.items()
    ]
    return {item.key: item for item in made}
