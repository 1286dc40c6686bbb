"""Load-balancer addresses: one from the cluster's pool for every Service of that type, put on the node's uplink."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final

from isthmus.lab.caches import Caches
from isthmus.lab.client import SERVICES, Client, NotFoundError, Object
from isthmus.lab.controllers import objects
from isthmus.lab.node.commands import CommandError, run
from isthmus.lab.reconcile import Reconciler
from isthmus.lab.watch import Change, Key

log = logging.getLogger(__name__)

UPLINK: Final = "eth0"


class LoadBalancers:
    """Reconciles by service; the addresses in use are those that services carry in their status."""

    def __init__(self, client: Client, caches: Caches, pool: IPv4Network) -> None:
        self._client = client
        self._caches = caches
        self._pool = pool
        self._held: dict[Key, str] = {}
        self._lock = asyncio.Lock()
        self.reconciler: Reconciler[Key] = Reconciler("load balancer of", self.reconcile)
        caches[SERVICES].subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        if change.key in self._held or wants(change.latest) or ingress(change.latest):
            self.reconciler.enqueue(change.key)

    async def reconcile(self, key: Key) -> None:
        async with self._lock:
            service = self._caches[SERVICES].objects.get(key)
            if service is None or not wants(service):
                await self._release(key, service)
            else:
                await self._assign(key, service)

    async def _assign(self, key: Key, service: Object) -> None:
        held = self._held.get(key)
        address = choose(
            self._pool,
            asked=service["spec"].get("loadBalancerIP", ""),
            current=held or ingress(service),
            taken={other for owner, other in self._in_use() if owner != key},
        )
        if held and held != address:
            await _address("del", held)
        self._held[key] = address
        await _address("replace", address)
        if ingress(service) != address:
            await self._tell(service, [{"ip": address, "ipMode": "VIP"}])

    async def _release(self, key: Key, service: Object | None) -> None:
        address = self._held.pop(key, "")
        if address:
            with suppress(CommandError):
                await _address("del", address)
        if service is not None and ingress(service):
            await self._tell(service, None)

    async def _tell(self, service: Object, found: list[Any] | None) -> None:
        metadata = service["metadata"]
        change = {"status": {"loadBalancer": {"ingress": found}}}
        with suppress(NotFoundError):
            answer = await self._client.patch(
                SERVICES, metadata["name"], change, metadata["namespace"], subresource="status"
            )
            self._caches[SERVICES].observe(answer)

    def _in_use(self) -> Iterable[tuple[Key, str]]:
        yield from self._held.items()
        for key, service in self._caches[SERVICES].objects.items():
            if wants(service) and key not in self._held and (address := ingress(service)):
                yield key, address


def wants(service: Object) -> bool:
    """Whether a service should have a load-balancer address."""
    return service["spec"].get("type") == "LoadBalancer" and not objects.deleting(service)


def ingress(service: Object) -> str:
    """The address a service says it has."""
    found = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return str(found[0].get("ip", "")) if found else ""


def choose(pool: IPv4Network, *, asked: str, current: str, taken: set[str]) -> str:
    """The address for a service: the one it asks for, else the one it has, else the first free one."""
    for address in (asked, current):
        if address and address not in taken and IPv4Address(address) in pool:
            return address
    for host in pool.hosts():
        if str(host) not in taken:
            return str(host)
    raise OSError(f"all load-balancer addresses of {pool} are in use: delete a Service of type LoadBalancer")


async def _address(action: str, address: str) -> None:
    await run(["ip", "address", action, f"{address}/32", "dev", UPLINK])
