"""Kubernetes Events: what happened to an object, where its owner looks. The same event again only counts up."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any, Final, Literal

from isthmus.kube import errors, kinds
from isthmus.kube.client import Client
from isthmus.kube.kinds import Kind, Object
from isthmus.kube.meta import key_of

log = logging.getLogger(__name__)

_WAITING: Final = 256
_REMEMBERED: Final = 1024
_Same = tuple[str, str, str, str]


def reference(kind: Kind[Any], item: Any) -> Object:
    """An `involvedObject` for a typed object or a plain dict."""
    namespace, name = key_of(item)
    uid = item["metadata"].get("uid", "") if isinstance(item, dict) else item.metadata.uid
    return {"apiVersion": kind.api_version, "kind": kind.kind, "namespace": namespace, "name": name, "uid": uid}


class Recorder:
    """`record` never waits and never fails; `run` sends."""

    def __init__(self, client: Client, component: str) -> None:
        self._client = client
        self._component = component
        self._queue: asyncio.Queue[Object] = asyncio.Queue(_WAITING)
        self._sent: dict[_Same, tuple[str, int]] = {}

    def record(
        self, about: Object, reason: str, message: str, *, type: Literal["Normal", "Warning"] = "Normal"
    ) -> None:
        """Tell about the object of `reference()`; `reason` is one CamelCase word, `message` a sentence."""
        event = {"involvedObject": about, "reason": reason, "message": message[:1024], "type": type}
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            log.warning("too many events; dropped: %s %s", reason, message)

    async def run(self) -> None:
        """Send what is recorded until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._send(event)
            except errors.KubeError as error:
                log.warning("the event %s could not be recorded: %s", event["reason"], error)

    async def _send(self, event: Object) -> None:
        about = event["involvedObject"]
        namespace = about["namespace"] or "default"
        same = (about["uid"] or about["name"], namespace, event["reason"], event["message"])
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        if known := self._sent.get(same):
            name, count = known
            try:
                await self._client.patch(kinds.EVENTS, name, {"count": count + 1, "lastTimestamp": now}, namespace)
            except errors.NotFound:
                # Events expire after an hour.
                del self._sent[same]
            else:
                self._sent[same] = (name, count + 1)
                return
        body = event | {
            "metadata": {"generateName": f"{about['name']}.", "namespace": namespace},
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        created = await self._client.create(kinds.EVENTS, body)
        if len(self._sent) >= _REMEMBERED:
            self._sent.pop(next(iter(self._sent)))
        self._sent[same] = (created["metadata"]["name"], 1)
