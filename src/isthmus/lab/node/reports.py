"""A pod's status on its way to the API server: written when it is another one, again when that failed."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import aiohttp

from isthmus.lab import stamps
from isthmus.lab.client import PODS, ApiError, NotFoundError, Object
from isthmus.lab.node import status
from isthmus.lab.node.launches import NodeContext
from isthmus.lab.node.status import ContainerView
from isthmus.lab.watch import number

Look = Callable[[], tuple[Object, Sequence[ContainerView], str]]
"""The pod as it is now: the API's object, its containers, its address."""

log = logging.getLogger(__name__)

RETRY_FIRST: Final = 0.1
RETRY_MOST: Final = 5.0


class Report:
    """The status of one pod as last written. The conditions that others set are kept."""

    def __init__(self, context: NodeContext, pod: Object, look: Look) -> None:
        self._context = context
        self._look = look
        reported = pod.get("status") or {}
        self._started_at = reported.get("startTime") or stamps.now()
        self._conditions: list[Object] = list(reported.get("conditions") or ())
        self._published: dict[str, Any] = {}
        self._version = 0
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """There is something new to write."""
        self._changed.set()

    def observe(self, pod: Object) -> None:
        """Learn what conditions others have set; a pod that was taken for lost is told of again."""
        own = {one["type"] for one in self._conditions}
        reported = (pod.get("status") or {}).get("conditions") or ()
        self._conditions += [one for one in reported if one["type"] not in own]
        newer = number(str(pod["metadata"].get("resourceVersion", ""))) > self._version
        if newer and self._published and _ready(reported) != _ready(self._published["conditions"]):
            self._published = {}
            self.changed()

    async def keep(self) -> None:
        """Write every change until cancelled, or until the pod is gone."""
        pause = RETRY_FIRST
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._write()
                pause = RETRY_FIRST
            except NotFoundError:
                return
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                log.debug("the status of a pod was not written: %s", error)
                self._changed.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_MOST)

    async def settle(self) -> None:
        """Have the last status known before the pod is quiet."""
        with suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):
            await self._write()

    async def _write(self) -> None:
        pod, views, address = self._look()
        wanted = status.pod_status(
            pod,
            views,
            pod_ip=address,
            node_ip=self._context.address,
            started_at=self._started_at,
            now=stamps.now(),
            seen=self._conditions,
        )
        if wanted == self._published:
            return
        metadata = pod["metadata"]
        # An address of a life before this one must go, or services would lead to whoever has it now.
        body = {"metadata": {"uid": metadata["uid"]}, "status": {"podIP": None, "podIPs": None} | wanted}
        client = self._context.client
        answer = await client.patch(PODS, metadata["name"], body, metadata["namespace"], subresource="status")
        self._version = number(answer["metadata"]["resourceVersion"])
        self._published = wanted
        self._conditions = wanted["conditions"]


def _ready(conditions: Sequence[Object]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
