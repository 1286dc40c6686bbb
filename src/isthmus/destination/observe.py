"""What this process watches in its own cluster, and how it gets into the state."""

import logging
from collections.abc import Callable
from typing import TypeVar

from isthmus import names
from isthmus.kube.client import Client
from isthmus.kube.informers import Informers
from isthmus.kube.watch import Informer
from isthmus.mesh.state import State
from isthmus.mesh.workloads import workload
from isthmus.resources.core import NAMESPACES, PODS, SERVICES, Pod
from isthmus.resources.discovery import ENDPOINT_SLICES
from isthmus.resources.multicluster import FEDERATED_TRUST_DOMAINS, LINKS
from isthmus.resources.splits import TRAFFIC_SPLITS, TrafficSplit

log = logging.getLogger(__name__)

T = TypeVar("T")


class Observer:
    """The informers of the local cluster; `informers.run` keeps them current."""

    def __init__(self, client: Client, state: State, touched: Callable[[], None]) -> None:
        def pod_changed(old: Pod | None, new: Pod | None) -> None:
            state.set_workload(workload(old) if old else None, workload(new) if new else None)

        def split_changed(old: TrafficSplit | None, new: TrafficSplit | None) -> None:
            for backend in new.backends if new else ():
                if new and backend.share is None:
                    log.error("TrafficSplit %s/%s: %r is no weight, so its backend %s gets no traffic; write a number",
                              *new.metadata.key, backend.weight, backend.service)  # fmt: skip
            state.set_split(old, new)

        def follow(informer: Informer[T], put: Callable[[T | None, T | None], None]) -> Informer[T]:
            def change(old: T | None, new: T | None) -> None:
                put(old, new)
                touched()

            informer.on_change(change)
            return informer

        multicluster = names.MULTICLUSTER_NAMESPACE
        self.links = follow(Informer(client, LINKS, namespace=multicluster, optional=True), state.set_link)
        self.informers = Informers(
            follow(Informer(client, NAMESPACES), state.set_namespace),
            # Only meshed pods: the others have no identity, and an unmeshed cluster costs nothing.
            follow(Informer(client, PODS, labels=names.CONTROL_PLANE_NS_LABEL), pod_changed),
            follow(Informer(client, SERVICES), state.set_service),
            follow(Informer(client, ENDPOINT_SLICES), state.set_slice),
            self.links,
            follow(Informer(client, TRAFFIC_SPLITS, optional=True), split_changed),
            follow(
                Informer(client, FEDERATED_TRUST_DOMAINS, namespace=multicluster, optional=True), state.set_federated
            ),
        )
