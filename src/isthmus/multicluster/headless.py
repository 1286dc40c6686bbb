"""A headless Service of a linked cluster whose pods have names: each of them keeps its name here.

The mirror of the Service is headless, too, and there is one more mirror for each pod, `<hostname>-<cluster>`. The
addresses of those are the endpoints of the headless one, so `<hostname>.<service>-<cluster>` resolves by cluster DNS.
"""

from collections.abc import Mapping

from isthmus import names
from isthmus.kube.meta import Meta
from isthmus.multicluster import copies
from isthmus.multicluster.links import Link
from isthmus.multicluster.objects import HEADLESS, Readiness, Service, ServiceSpec, Slice, SliceEndpoint, SlicePort
from isthmus.multicluster.objects import made_for as labels_for
from isthmus.multicluster.plans import Export


def stays_headless(export: Export, existing: Service | None) -> bool:
    """Whether the mirror is headless.

    Without any endpoint, say while a StatefulSet is scaled to nothing, the mirror stays what it is.
    """
    if not export.service.headless or export.mode != "gateway":
        return False
    if export.hosts is None:
        return existing is not None and existing.headless
    return bool(export.hosts)


def root(mirror: Service) -> Service:
    """The mirror of the Service itself, made headless."""
    return Service(mirror.metadata, ServiceSpec(mirror.spec.ports, cluster_ip=HEADLESS))


def pod_mirror(link: Link, mirror: Service, hostname: str) -> Service:
    """The mirror of one pod; what the user's labels select is the Service, not each of its pods."""
    metadata = mirror.metadata
    annotations = {
        **metadata.annotations,
        names.REMOTE_SERVICE_FQN_ANNOTATION: f"{hostname}.{metadata.annotations[names.REMOTE_SERVICE_FQN_ANNOTATION]}",
    }
    labels = labels_for(link.target) | {names.HEADLESS_MIRROR_LABEL: metadata.name}
    name = f"{hostname}-{link.target}"
    meta = Meta(namespace=metadata.namespace, name=name, labels=labels, annotations=annotations)
    return Service(meta, ServiceSpec(mirror.spec.ports))


def root_slices(
    link: Link, mirror: Service, hosts: Mapping[str, bool], addresses: Mapping[str, str]
) -> dict[tuple[str, str], Slice]:
    """Hostnames with the addresses of their mirrors, as far as they have one yet.

    A gateway that is down changes nothing here: names go on resolving, and clients find that nobody answers.
    """
    endpoints = [
        (0, SliceEndpoint((addresses[hostname],), Readiness(ready), hostname))
        for hostname, ready in hosts.items()
        if addresses.get(hostname)
    ]
    annotation = names.REMOTE_SERVICE_FQN_ANNOTATION
    return copies.slices(
        mirror,
        {0: tuple(SlicePort(port.name, port.port) for port in mirror.spec.ports)},
        endpoints,
        labels=labels_for(link.target),
        annotations={annotation: mirror.metadata.annotations[annotation]},
    )
