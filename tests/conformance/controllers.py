"""`python -m tests.conformance.controllers KUBECONFIG PKI`: what the lab's API server leaves to controllers.

Garbage, namespaces and accounts only: workloads need a node, and load balancers its network.
"""

import asyncio
import sys
from pathlib import Path

from isthmus.lab.caches import Caches
from isthmus.lab.client import Client
from isthmus.lab.controllers.accounts import AccountTokens, Namespaces
from isthmus.lab.controllers.emptying import NamespaceEmptier
from isthmus.lab.controllers.garbage import GarbageCollector
from isthmus.lab.controllers.inventory import Inventory
from isthmus.lab.controllers.manager import WATCHED


async def run(kubeconfig: Path, keys: Path) -> None:
    async with Client.from_kubeconfig(kubeconfig) as client, asyncio.TaskGroup() as group:
        caches = Caches(client, WATCHED)
        inventory = Inventory(client, caches)
        reconcilers = [
            GarbageCollector(client, inventory).reconciler,
            NamespaceEmptier(client, caches, inventory).reconciler,
            Namespaces(client, caches, keys).reconciler,
            AccountTokens(client, caches, keys).reconciler,
        ]
        group.create_task(caches.run())
        group.create_task(inventory.run())
        await caches.synced()
        for reconciler in reconcilers:
            group.create_task(reconciler.run())


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), Path(sys.argv[2])))
