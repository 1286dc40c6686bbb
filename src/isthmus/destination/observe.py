"""What this process watches in its own cluster, and how it gets into the state."""

import logging
from collections.abc import Callable
from typing import Final, TypeVar

from isthmus import names
from isthmus.kube.client import Client
from isthmus.kube.informers import Informers
from isthmus.kube.kinds import Kind
from isthmus.kube.watch import Informer
from isthmus.mesh import routes
from isthmus.mesh.state import State
from isthmus.mesh.workloads import workload
from isthmus.resources.core import NAMESPACES, PODS, SERVICES, Pod
from isthmus.resources.discovery import ENDPOINT_SLICES
from isthmus.resources.failover import primary, unreadable
from isthmus.resources.multicluster import FEDERATED_TRUST_DOMAINS, LINKS
from isthmus.resources.routes import KINDS, HTTPRoute
from isthmus.resources.splits import TRAFFIC_SPLITS, TrafficSplit

log = logging.getLogger(__name__)

T = TypeVar("T")

_SELDOM: Final = 5.0
"""Seconds between looks for definitions that many clusters will never have."""


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
            if new and (said := _unheeded(new)):
                log.error("TrafficSplit %s/%s: %s", *new.metadata.key, said)
            state.set_split(old, new)

        def routes_changed(kind: Kind[HTTPRoute]) -> Callable[[HTTPRoute | None, HTTPRoute | None], None]:
            def changed(old: HTTPRoute | None, new: HTTPRoute | None) -> None:
                if new and new.services and (old is None or old.spec != new.spec):
                    for problem in routes.problems(new):
                        log.error("HTTPRoute %s/%s is not used: %s", *new.metadata.key, problem.message)
                state.set_route(kind.api_version, old, new)

            return changed

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
            *(
                follow(Informer(client, kind, optional=True, absent_seconds=_SELDOM), routes_changed(kind))
                for kind in KINDS
            ),
            follow(
                Informer(client, FEDERATED_TRUST_DOMAINS, namespace=multicluster, optional=True), state.set_federated
            ),
        )


def _unheeded(split: TrafficSplit) -> str:
    """What the annotations of a split say in vain."""
    annotations = split.metadata.annotations
    first = primary(annotations)
    if first and all(each.service != first for each in split.backends):
        return f"{names.PRIMARY_ANNOTATION} names {first}, which is none of its backends, so their weights count"
    return unreadable(annotations)
