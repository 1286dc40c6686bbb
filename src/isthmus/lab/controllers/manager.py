"""Runs every controller of one cluster on shared watch caches."""

import asyncio
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final, Protocol

from isthmus.lab import client as api
from isthmus.lab.caches import Caches
from isthmus.lab.client import Client
from isthmus.lab.controllers.accounts import AccountTokens, Namespaces
from isthmus.lab.controllers.daemonsets import DaemonSets
from isthmus.lab.controllers.deployments import Deployments
from isthmus.lab.controllers.emptying import NamespaceEmptier
from isthmus.lab.controllers.endpoints import Endpoints
from isthmus.lab.controllers.garbage import GarbageCollector
from isthmus.lab.controllers.inventory import Inventory
from isthmus.lab.controllers.jobs import Jobs
from isthmus.lab.controllers.loadbalancers import LoadBalancers
from isthmus.lab.controllers.nodes import Nodes
from isthmus.lab.controllers.replicasets import ReplicaSets
from isthmus.lab.controllers.scheduler import Scheduler
from isthmus.lab.controllers.statefulsets import StatefulSets
from isthmus.lab.node.events import Recorder


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

WORKLOADS: Final = (ReplicaSets, StatefulSets, Jobs, DaemonSets, Deployments)


async def run(
    client: Client, caches: Caches, *, pki_dir: Path, load_balancer_cidr: str, watch_nodes: bool = False
) -> None:
    """Run until cancelled, on caches of what is `WATCHED`, which somebody else keeps current.

    `watch_nodes`: nodes must say that they live. The only one of a cluster would take us with it.
    """
    inventory = Inventory(client, caches)
    recorder = Recorder(client, "")
    nodes = Nodes(client, caches, recorder)
    reconcilers: list[Runnable] = [
        GarbageCollector(client, inventory).reconciler,
        NamespaceEmptier(client, caches, inventory).reconciler,
        Endpoints(client, caches).reconciler,
        Namespaces(client, caches, pki_dir).reconciler,
        AccountTokens(client, caches, pki_dir).reconciler,
        LoadBalancers(client, caches, recorder, IPv4Network(load_balancer_cidr)).reconciler,
        Scheduler(client, caches, recorder).reconciler,
        nodes.reconciler,
        *(workloads(client, caches, recorder).reconciler() for workloads in WORKLOADS),
    ]
    async with asyncio.TaskGroup() as group:
        group.create_task(inventory.run())
        group.create_task(recorder.run())
        await caches.synced(*WATCHED)
        for reconciler in reconcilers:
            group.create_task(reconciler.run())
        if watch_nodes:
            group.create_task(nodes.watch_over())
