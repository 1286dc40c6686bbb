"""What the workload controllers share: finding and adopting what is theirs, and writing status only when it changed."""

from collections.abc import Mapping
from typing import Any

from isthmus.lab.caches import Caches
from isthmus.lab.client import PODS, Client, NotFoundError, Object, Resource
from isthmus.lab.controllers import objects
from isthmus.lab.labels import selects
from isthmus.lab.watch import Watch


async def own(
    client: Client, caches: Caches, owner: Object, *, kind: str, api_version: str = "apps/v1", resource: Resource = PODS
) -> list[Object]:
    """What an owner controls, after it has adopted orphans that its selector matches."""
    if not objects.deleting(owner):
        reference = objects.owner_reference(owner, kind=kind, api_version=api_version)
        for orphan in _orphans(caches, owner, resource):
            await _adopt(client, caches[resource], orphan, reference)
    return caches.owned(resource, objects.uid(owner))


def _orphans(caches: Caches, owner: Object, resource: Resource) -> list[Object]:
    selector = owner["spec"].get("selector") or {}
    if not (selector.get("matchLabels") or selector.get("matchExpressions")):
        return []
    return [
        item
        for item in caches.in_namespace(resource, owner["metadata"]["namespace"])
        if objects.controller_of(item) is None
        and not objects.deleting(item)
        and selects(selector, objects.labels(item))
    ]


async def _adopt(client: Client, watch: Watch, orphan: Object, reference: Object) -> None:
    metadata = orphan["metadata"]
    change = {
        "metadata": {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "ownerReferences": [*(metadata.get("ownerReferences") or ()), reference],
        }
    }
    watch.observe(await client.patch(watch.resource, metadata["name"], change, metadata["namespace"]))


async def write_status(client: Client, watch: Watch, item: Object, status: Mapping[str, Any]) -> None:
    """Set fields of an object's status, with no request when they are so already."""
    metadata = item["metadata"]
    current = (watch.objects.get((metadata.get("namespace", ""), metadata["name"])) or item).get("status") or {}
    changed = {field: value for field, value in status.items() if current.get(field) != value}
    if not changed:
        return
    try:
        answer = await client.patch(
            watch.resource,
            metadata["name"],
            {"metadata": {"uid": metadata["uid"]}, "status": changed},
            metadata.get("namespace", ""),
            subresource="status",
        )
    except NotFoundError:
        return
    watch.observe(answer)
