"""Events: what `kubectl describe` and `kubectl get events` tell about an object. The same event again is counted."""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import aiohttp

from isthmus.lab import stamps
from isthmus.lab.client import EVENTS, ApiError, Client, Object

log = logging.getLogger(__name__)

_QUEUE: Final = 1000
_REMEMBERED: Final = 2000
_WRITERS: Final = 4


@dataclass(slots=True)
class _Entry:
    name: str
    namespace: str
    body: Object
    count: int = 0
    written: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Recorder:
    """Writes events in the background; when the API server cannot keep up, the newest are dropped and logged."""

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._node = node
        self._queue: asyncio.Queue[_Entry] = asyncio.Queue(_QUEUE)
        self._known: OrderedDict[tuple[str, ...], _Entry] = OrderedDict()

    def record(
        self,
        about: Object,
        reason: str,
        message: str,
        *,
        warning: bool = False,
        container: str = "",
        component: str = "kubelet",
    ) -> None:
        metadata = about["metadata"]
        key = (str(metadata.get("uid", "")), container, reason, message)
        entry = self._known.get(key)
        if entry is None:
            entry = self._known[key] = self._entry(about, reason, message, warning, container, component)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        entry.count += 1
        entry.body["lastTimestamp"] = stamps.now()
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            log.warning("event dropped, the API server is slow: %s %s: %s", metadata["name"], reason, message)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(_WRITERS):
                group.create_task(self._write_all())

    async def _write_all(self) -> None:
        while True:
            entry = await self._queue.get()
            async with entry.lock:
                try:
                    await self._write(entry)
                except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                    log.debug("event not written: %s", error)

    async def _write(self, entry: _Entry) -> None:
        if entry.written == entry.count:
            return
        count = entry.count
        if not entry.written:
            await self._client.create(EVENTS, entry.body | {"count": count}, entry.namespace)
        else:
            change = {"count": count, "lastTimestamp": entry.body["lastTimestamp"]}
            await self._client.patch(EVENTS, entry.name, change, entry.namespace)
        entry.written = count

    def _entry(self, about: Object, reason: str, message: str, warning: bool, container: str, component: str) -> _Entry:
        metadata = about["metadata"]
        namespace = metadata.get("namespace", "default")
        involved: dict[str, Any] = {
            "apiVersion": about.get("apiVersion", "v1"),
            "kind": about.get("kind", "Pod"),
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata.get("uid", ""),
        }
        if container:
            mains = about.get("spec", {}).get("containers", ())
            section = "containers" if any(one["name"] == container for one in mains) else "initContainers"
            involved["fieldPath"] = f"spec.{section}{{{container}}}"
        name = f"{metadata['name']}.{uuid4().hex[:16]}"
        source = {"component": component} | ({"host": self._node} if component == "kubelet" else {})
        body: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "type": "Warning" if warning else "Normal",
            "source": source,
            "reportingComponent": component,
            "reportingInstance": self._node if component == "kubelet" else "",
            "firstTimestamp": stamps.now(),
            "lastTimestamp": stamps.now(),
        }
        return _Entry(name, namespace, body)
