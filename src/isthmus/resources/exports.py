"""How Services are exported, and what a Service that was made for a Link stands for."""

from dataclasses import dataclass
from typing import Final

from isthmus import names
from isthmus.kube.meta import Key
from isthmus.resources.core import Service

THROUGH_GATEWAY: Final = "true"
REMOTE_DISCOVERY: Final = "remote-discovery"
MEMBER: Final = "member"


def exported(service: Service) -> bool:
    """Whether linked clusters reach the service through this cluster's gateway as `<service>-<cluster>`."""
    return _says(service, names.EXPORTED) == THROUGH_GATEWAY


def remotely_discovered(service: Service) -> bool:
    """Whether linked clusters reach the service's pods directly, as `<service>-<cluster>`."""
    return _says(service, names.EXPORTED) == REMOTE_DISCOVERY


def federated_member(service: Service) -> bool:
    """Whether the service is a member of `<service>-federated`, here and in every cluster that links here."""
    return _says(service, names.FEDERATED) == MEMBER


def _says(service: Service, name: str) -> str | None:
    """Label or annotation: the tutorial writes the one, Linkerd reads the other. Where both are there, the label."""
    metadata = service.metadata
    return metadata.labels.get(name, metadata.annotations.get(name))


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A Service of a linked cluster, or with `hostname` one of its pods.

    Its pods are dialled directly if `flat`, else through the cluster's gateway.
    """

    cluster: str
    namespace: str
    name: str
    hostname: str = ""
    flat: bool = False

    @property
    def key(self) -> Key:
        return self.namespace, self.name


def mirrored(service: Service) -> Mirrored | None:
    """What a mirror Service mirrors; None for any other Service."""
    labels = service.metadata.labels
    cluster = labels.get(names.CLUSTER_NAME_LABEL)
    if labels.get(names.MIRRORED_SERVICE_LABEL) != "true" or not cluster:
        return None
    parts = service.metadata.annotations.get(names.REMOTE_SERVICE_FQN_ANNOTATION, "").split(".")
    hostname = parts.pop(0) if names.HEADLESS_MIRROR_LABEL in labels else ""
    if len(parts) < 2 or not all(parts[:2]):
        return None
    return Mirrored(cluster, parts[1], parts[0], hostname, names.REMOTE_DISCOVERY in labels)


@dataclass(frozen=True, slots=True)
class Federation:
    """What a federated Service is the union of: Services of its own namespace, here and in linked clusters."""

    local: str
    """"" without a member in this cluster."""
    remote: tuple[tuple[str, str], ...]
    """Service and cluster of each member elsewhere, in order of preference."""


def federation(service: Service) -> Federation | None:
    """The members of a federated Service; None for any other Service."""
    labels, annotations = service.metadata.labels, service.metadata.annotations
    if labels.get(names.MIRRORED_SERVICE_LABEL) != "true" or names.CLUSTER_NAME_LABEL in labels:
        return None
    if not {names.REMOTE_DISCOVERY, names.LOCAL_DISCOVERY_ANNOTATION} & annotations.keys():
        return None
    members = (part.strip().partition("@") for part in annotations.get(names.REMOTE_DISCOVERY, "").split(","))
    remote = tuple((name, cluster) for name, _, cluster in members if name and cluster)
    return Federation(annotations.get(names.LOCAL_DISCOVERY_ANNOTATION, ""), remote)


def mirrored_gateway(service: Service) -> str | None:
    """The linked cluster whose gateway a probe Service leads to; None for any other Service."""
    labels = service.metadata.labels
    if labels.get(names.MIRRORED_GATEWAY_LABEL) != "true":
        return None
    return labels.get(names.CLUSTER_NAME_LABEL) or None
