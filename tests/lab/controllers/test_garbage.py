"""Dependents go with the last of their owners, before it, or not at all: as the deletion asked."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.lab.api.open_parts import open_parts

from isthmus.lab.access import Access
from isthmus.lab.api.server import ApiServer
from isthmus.lab.api.store import Store
from isthmus.lab.caches import Caches
from isthmus.lab.client import CONFIG_MAPS, Client
from isthmus.lab.controllers.garbage import GarbageCollector
from isthmus.lab.controllers.inventory import Inventory

HELD = "example.org/held"


@dataclass(frozen=True)
class Cluster:
    server: ApiServer
    client: Client

    async def create(self, name: str, *owners: dict[str, Any], finalizers: tuple[str, ...] = ()) -> dict[str, Any]:
        references = [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "blockOwnerDeletion": True,
            }
            for owner in owners
        ]
        metadata = {"name": name, "namespace": "default", "ownerReferences": references, "finalizers": list(finalizers)}
        return await self.client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})

    async def delete(self, name: str, propagation: str = "") -> None:
        await self.client.delete(CONFIG_MAPS, name, "default", propagation=propagation)

    def names(self) -> set[str]:
        return {item["metadata"]["name"] for item in self.server.store.list("", "configmaps", "default")}

    async def until(self, *names: str) -> None:
        """Wait until exactly these are left."""
        with self.server.store.watch("", "configmaps", None) as watcher:
            async with asyncio.timeout(20):
                while self.names() != set(names):
                    await watcher.next(1)


@asynccontextmanager
async def running() -> AsyncIterator[Cluster]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    async with ApiServer(store=Store(), **open_parts()) as server:
        access = Access(f"http://127.0.0.1:{await server.listen(listener)}", ssl.create_default_context())
        async with Client(access) as client, asyncio.TaskGroup() as group:
            inventory = Inventory(client, Caches(client, ()))
            tasks = [group.create_task(GarbageCollector(client, inventory).reconciler.run())]
            tasks.append(group.create_task(inventory.run()))
            yield Cluster(server, client)
            for task in tasks:
                task.cancel()


async def test_a_dependent_goes_after_its_last_owner_and_with_it_its_own_dependents() -> None:
    async with running() as cluster:
        one, two = await cluster.create("one"), await cluster.create("two")
        child = await cluster.create("child", one, two)
        await cluster.create("grandchild", child)
        await cluster.create("bystander")
        await cluster.delete("one")
        await cluster.until("two", "child", "grandchild", "bystander")
        await cluster.delete("two")
        await cluster.until("bystander")


async def test_in_the_foreground_an_owner_outlives_what_it_owns() -> None:
    async with running() as cluster:
        owner = await cluster.create("owner")
        await cluster.create("child", owner)
        await cluster.create("held", owner, finalizers=(HELD,))
        await cluster.delete("owner", "Foreground")
        await cluster.until("owner", "held")
        await cluster.client.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, "default")
        await cluster.until()


async def test_orphans_stay_and_forget_their_owner() -> None:
    async with running() as cluster:
        await cluster.create("child", await cluster.create("owner"))
        await cluster.delete("owner", "Orphan")
        await cluster.until("child")
        child = await cluster.client.get(CONFIG_MAPS, "child", "default")
        assert "ownerReferences" not in child["metadata"]


async def test_an_owner_that_never_was_is_no_owner() -> None:
    async with running() as cluster:
        gone = {"metadata": {"name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}}
        await cluster.create("bystander")
        await cluster.create("orphan", gone)
        await cluster.until("bystander")
