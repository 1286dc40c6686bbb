"""EndpointSlices: for every Service with a selector, the addresses of the pods it selects."""

from collections.abc import Iterable

from isthmus.lab.caches import Caches
from isthmus.lab.client import ENDPOINT_SLICES, PODS, SERVICES, Client, ConflictError, NotFoundError, Object
from isthmus.lab.controllers import objects, slices
from isthmus.lab.reconcile import Reconciler
from isthmus.lab.watch import Change, Index, Key
from isthmus.names import SERVICE_NAME_LABEL


class Endpoints:
    """Reconciles by service. A change of a pod enqueues the services that select it, or did before."""

    def __init__(self, client: Client, caches: Caches) -> None:
        self._client = client
        self._caches = caches
        self._by_service = Index(caches[ENDPOINT_SLICES], _service_of)
        self.reconciler: Reconciler[Key] = Reconciler("endpoints", self.reconcile)
        caches[SERVICES].subscribe(lambda change: self.reconciler.enqueue(change.key))
        caches[PODS].subscribe(self._pod_changed)
        caches[ENDPOINT_SLICES].subscribe(self._slice_changed)

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        service = self._caches[SERVICES].objects.get(key)
        found = {item["metadata"]["name"]: item for item in self._by_service[f"{namespace}/{name}"]}
        if service is None or objects.deleting(service) or not slices.managed(service):
            wanted: dict[str, Object] = {}
        else:
            pods = self._caches.in_namespace(PODS, namespace)
            wanted = slices.slices_of(service, (pod for pod in pods if slices.selects(service, pod)))
        for slice_name, item in wanted.items():
            await self._have(found.get(slice_name), item)
        for slice_name in found.keys() - wanted.keys():
            await self._remove(found[slice_name])

    async def _have(self, found: Object | None, wanted: Object) -> None:
        watch = self._caches[ENDPOINT_SLICES]
        if found is None:
            try:
                watch.observe(await self._client.create(ENDPOINT_SLICES, wanted))
            except ConflictError:
                metadata = wanted["metadata"]
                watch.observe(await self._client.get(ENDPOINT_SLICES, metadata["name"], metadata["namespace"]))
                raise
        elif not slices.same(found, wanted):
            merged = {**found, **wanted, "metadata": {**found["metadata"], **wanted["metadata"]}}
            watch.observe(await self._client.update(ENDPOINT_SLICES, merged))

    async def _remove(self, found: Object) -> None:
        metadata = found["metadata"]
        try:
            await self._client.delete(ENDPOINT_SLICES, metadata["name"], metadata["namespace"], uid=metadata["uid"])
        except NotFoundError:
            return

    def _pod_changed(self, change: Change) -> None:
        namespace = change.key[0]
        seen = [pod for pod in (change.old, change.new) if pod is not None]
        for service in self._caches.in_namespace(SERVICES, namespace):
            if any(slices.selects(service, pod) for pod in seen):
                self.reconciler.enqueue((namespace, service["metadata"]["name"]))

    def _slice_changed(self, change: Change) -> None:
        for owner in _service_of(change.latest):
            namespace, _, name = owner.partition("/")
            self.reconciler.enqueue((namespace, name))


def _service_of(item: Object) -> Iterable[str]:
    labels = objects.labels(item)
    if labels.get(slices.MANAGED_BY) != slices.MANAGER or not labels.get(SERVICE_NAME_LABEL):
        return ()
    return (f"{item['metadata']['namespace']}/{labels[SERVICE_NAME_LABEL]}",)
