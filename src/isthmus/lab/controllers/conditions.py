"""Conditions that a controller writes into the status of what is not its own: of pods and nodes."""

from collections.abc import Iterable, Mapping
from typing import Any

from isthmus.lab.client import Client, NotFoundError, Object
from isthmus.lab.watch import Watch


async def tell(client: Client, watch: Watch, item: Object, conditions: Iterable[Mapping[str, Any]]) -> None:
    """Have an object show these conditions, with no request when it does; nothing when it is gone."""
    metadata, wanted = item["metadata"], list(conditions)
    if (item.get("status") or {}).get("conditions") == wanted:
        return
    change = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": wanted}}
    try:
        answer = await client.patch(
            watch.resource, metadata["name"], change, metadata.get("namespace", ""), subresource="status"
        )
    except NotFoundError:
        return
    watch.observe(answer)
