"""Which Services are exported, and what a mirror Service stands for."""

from dataclasses import dataclass

from isthmus import names
from isthmus.kube.meta import Key
from isthmus.resources.core import Service


def exported(service: Service) -> bool:
    """Label or annotation: the tutorial writes the one, Linkerd reads the other."""
    metadata = service.metadata
    return "true" in (metadata.labels.get(names.EXPORTED), metadata.annotations.get(names.EXPORTED))


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A Service of a linked cluster."""

    cluster: str
    namespace: str
    name: str

    @property
    def key(self) -> Key:
        return self.namespace, self.name


def mirrored(service: Service) -> Mirrored | None:
    """What a mirror Service mirrors; None for any other Service."""
    labels = service.metadata.labels
    cluster = labels.get(names.CLUSTER_NAME_LABEL)
    if labels.get(names.MIRRORED_SERVICE_LABEL) != "true" or not cluster:
        return None
    name, _, rest = service.metadata.annotations.get(names.REMOTE_SERVICE_FQN_ANNOTATION, "").partition(".")
    namespace = rest.partition(".")[0]
    return Mirrored(cluster, namespace, name) if name and namespace else None


def mirrored_gateway(service: Service) -> str | None:
    """The linked cluster whose gateway a probe Service leads to; None for any other Service."""
    labels = service.metadata.labels
    if labels.get(names.MIRRORED_GATEWAY_LABEL) != "true":
        return None
    return labels.get(names.CLUSTER_NAME_LABEL) or None
