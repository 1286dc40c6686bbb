"""Runs every controller of one cluster on shared watch caches."""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final, Protocol

from isthmus.lab import client as api
from isthmus.lab.caches import Caches
from isthmus.lab.client import Client, Resource
from isthmus.lab.controllers import objects
from isthmus.lab.controllers.accounts import AccountTokens, Namespaces
from isthmus.lab.controllers.daemonsets import DaemonSets
from isthmus.lab.controllers.deployments import Deployments
from isthmus.lab.controllers.emptying import NamespaceEmptier
from isthmus.lab.controllers.endpoints import Endpoints
from isthmus.lab.controllers.garbage import GarbageCollector
from isthmus.lab.controllers.inventory import Inventory
from isthmus.lab.controllers.jobs import Jobs
from isthmus.lab.controllers.loadbalancers import LoadBalancers
from isthmus.lab.controllers.replicasets import ReplicaSets
from isthmus.lab.controllers.statefulsets import StatefulSets
from isthmus.lab.node.events import Recorder
from isthmus.lab.reconcile import Reconciler
from isthmus.lab.watch import Change, Key


class Runnable(Protocol):
    async def run(self) -> None: ...


WATCHED: Final = (
    api.PODS,
    api.SERVICES,
    api.ENDPOINT_SLICES,
    api.DEPLOYMENTS,
    api.REPLICA_SETS,
    api.STATEFUL_SETS,
    api.DAEMON_SETS,
    api.JOBS,
    api.NODES,
    api.NAMESPACES,
    api.SECRETS,
    api.SERVICE_ACCOUNTS,
    api.CONFIG_MAPS,
)


async def run(client: Client, caches: Caches, *, node_name: str, pki_dir: Path, load_balancer_cidr: str) -> None:
    """Run until cancelled, on caches of what is `WATCHED`, which somebody else keeps current.

    Must run in the node's network namespace: load-balancer addresses go to its eth0.
    """
    inventory = Inventory(client, caches)
    recorder = Recorder(client, node_name)
    deployments = Deployments(client, caches, recorder)
    reconcilers: list[Runnable] = [
        GarbageCollector(client, inventory).reconciler,
        NamespaceEmptier(client, caches, inventory).reconciler,
        Endpoints(client, caches).reconciler,
        Namespaces(client, caches, pki_dir).reconciler,
        AccountTokens(client, caches, pki_dir).reconciler,
        LoadBalancers(client, caches, IPv4Network(load_balancer_cidr)).reconciler,
        _workload(caches, api.REPLICA_SETS, "ReplicaSet", api.PODS, ReplicaSets(client, caches, recorder).reconcile),
        _workload(caches, api.STATEFUL_SETS, "StatefulSet", api.PODS, StatefulSets(client, caches, recorder).reconcile),
        _workload(caches, api.JOBS, "Job", api.PODS, Jobs(client, caches, recorder).reconcile),
        _daemon_sets(client, caches, recorder),
        _workload(caches, api.DEPLOYMENTS, "Deployment", api.REPLICA_SETS, deployments.reconcile),
    ]
    async with asyncio.TaskGroup() as group:
        group.create_task(inventory.run())
        group.create_task(recorder.run())
        await caches.synced(*WATCHED)
        for reconciler in reconcilers:
            group.create_task(reconciler.run())


def _daemon_sets(client: Client, caches: Caches, recorder: Recorder) -> Reconciler[Key]:
    """Daemon sets also hear of nodes."""
    reconciler = _workload(
        caches, api.DAEMON_SETS, "DaemonSet", api.PODS, DaemonSets(client, caches, recorder).reconcile
    )

    def node_changed(_: Change) -> None:
        for key in caches[api.DAEMON_SETS].objects:
            reconciler.enqueue(key)

    caches[api.NODES].subscribe(node_changed)
    return reconciler


def _workload(
    caches: Caches,
    resource: Resource,
    kind: str,
    dependents: Resource,
    reconcile: Callable[[Key], Awaitable[float | None]],
) -> Reconciler[Key]:
    """A reconciler of `resource` that also hears of the objects it controls."""
    reconciler: Reconciler[Key] = Reconciler(kind, reconcile)
    caches[resource].subscribe(lambda change: reconciler.enqueue(change.key))

    def dependent_changed(change: Change) -> None:
        for item in (change.old, change.new):
            reference = objects.controller_of(item) if item is not None else None
            if reference is not None and reference["kind"] == kind:
                reconciler.enqueue((change.key[0], reference["name"]))

    caches[dependents].subscribe(dependent_changed)
    return reconciler
