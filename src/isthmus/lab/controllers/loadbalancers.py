"""Load-balancer addresses: one from the cluster's pool for every Service of that type, and a node that answers."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from isthmus.lab.caches import Caches
from isthmus.lab.client import ENDPOINT_SLICES, NODES, SERVICES, Client, NotFoundError, Object
from isthmus.lab.controllers import objects
from isthmus.lab.node.addresses import ANSWERED_BY
from isthmus.lab.node.events import Recorder
from isthmus.lab.reconcile import Reconciler
from isthmus.lab.watch import Change, Key
from isthmus.names import SERVICE_NAME_LABEL


class LoadBalancers:
    """Reconciles by service; the addresses in use are those that services carry in their status.

    Each address is given to one living node, which answers for it (`node/addresses.py`) until it dies.
    """

    def __init__(self, client: Client, caches: Caches, recorder: Recorder, pool: IPv4Network) -> None:
        self._client = client
        self._caches = caches
        self._recorder = recorder
        self._pool = pool
        self._held: dict[Key, str] = {}
        self._lock = asyncio.Lock()
        self.reconciler: Reconciler[Key] = Reconciler("load balancer of", self.reconcile)
        caches[SERVICES].subscribe(self._changed)
        caches[NODES].subscribe(self._node_changed)
        caches[ENDPOINT_SLICES].subscribe(self._slice_changed)

    def _changed(self, change: Change) -> None:
        if change.key in self._held or wants(change.latest) or ingress(change.latest):
            self.reconciler.enqueue(change.key)

    def _node_changed(self, change: Change) -> None:
        if change.old is None or change.new is None or objects.living(change.old) != objects.living(change.new):
            for key in self._held:
                self.reconciler.enqueue(key)

    def _slice_changed(self, change: Change) -> None:
        key = (change.key[0], objects.labels(change.latest).get(SERVICE_NAME_LABEL, ""))
        if key in self._held and (service := self._caches[SERVICES].objects.get(key)) and _local(service):
            self.reconciler.enqueue(key)

    async def reconcile(self, key: Key) -> None:
        async with self._lock:
            service = self._caches[SERVICES].objects.get(key)
            if service is None or not wants(service):
                await self._release(key, service)
            else:
                await self._assign(key, service)

    async def _assign(self, key: Key, service: Object) -> None:
        address = choose(
            self._pool,
            asked=service["spec"].get("loadBalancerIP", ""),
            current=self._held.get(key) or ingress(service),
            taken={other for owner, other in self._in_use() if owner != key},
        )
        self._held[key] = address
        if node := self._node_for(service):
            await self._give(service, address, node)
        if node and ingress(service) != address:
            await self._tell(service, [{"ip": address, "ipMode": "VIP"}])

    def _node_for(self, service: Object) -> str:
        """Who answers: who did before while it lives, else whoever answers for the fewest; "" while nobody can."""
        living = {str(node["metadata"]["name"]) for node in self._caches[NODES] if objects.living(node)}
        if _local(service):
            living = living & self._with_endpoints(service) or living
        current = _answering(service)
        if current in living or not living:
            return current
        burdens = Counter(_answering(other) for other in self._caches[SERVICES])
        return min(living, key=lambda name: (burdens[name], name))

    def _with_endpoints(self, service: Object) -> set[str]:
        """The nodes on which somebody is ready to serve."""
        metadata = service["metadata"]
        return {
            str(endpoint.get("nodeName"))
            for item in self._caches.in_namespace(ENDPOINT_SLICES, metadata["namespace"])
            if objects.labels(item).get(SERVICE_NAME_LABEL) == metadata["name"]
            for endpoint in item.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready") is not False
        }

    async def _release(self, key: Key, service: Object | None) -> None:
        self._held.pop(key, None)
        if service is not None and _answering(service):
            await self._change(service, {"metadata": {"annotations": {ANSWERED_BY: None}}})
        if service is not None and ingress(service):
            await self._tell(service, None)

    async def _give(self, service: Object, address: str, node: str) -> None:
        said = f"{address}@{node}"
        if objects.annotations(service).get(ANSWERED_BY) != said:
            await self._change(service, {"metadata": {"annotations": {ANSWERED_BY: said}}})
            text = f'announcing {address} from node "{node}"'
            self._recorder.record(service, "nodeAssigned", text, component="lab-load-balancer")

    async def _tell(self, service: Object, found: list[Any] | None) -> None:
        await self._change(service, {"status": {"loadBalancer": {"ingress": found}}}, subresource="status")

    async def _change(self, service: Object, change: Object, subresource: str = "") -> None:
        metadata = service["metadata"]
        with suppress(NotFoundError):
            answer = await self._client.patch(
                SERVICES, metadata["name"], change, metadata["namespace"], subresource=subresource
            )
            self._caches[SERVICES].observe(answer)

    def _in_use(self) -> Iterable[tuple[Key, str]]:
        yield from self._held.items()
        for key, service in self._caches[SERVICES].objects.items():
            if wants(service) and key not in self._held and (address := ingress(service)):
                yield key, address


def _local(service: Object) -> bool:
    return bool(service["spec"].get("externalTrafficPolicy") == "Local")


def _answering(service: Object) -> str:
    """The node that answers for a service's address, or ""."""
    return objects.annotations(service).get(ANSWERED_BY, "").rpartition("@")[2]


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
