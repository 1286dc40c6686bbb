"""Several watch caches that a process needs together: run as one, ready when all are."""

import asyncio
from typing import Any

from isthmus.kube.watch import Informer


class Informers:
    """A fixed group of informers."""

    def __init__(self, *members: Informer[Any]) -> None:
        self._members = members

    async def run(self) -> None:
        """Follow them all until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self._members:
                group.create_task(informer.run())

    async def synced(self) -> None:
        """Return when each was listed once: before that, nobody must be told that there is nothing."""
        for informer in self._members:
            await informer.synced.wait()

    def waiting_for(self) -> str | None:
        """What was not listed yet, and why, in words; None when everything was."""
        for informer in self._members:
            if not informer.synced.is_set():
                why = f": {informer.error}" if informer.error else ""
                return f"waiting for {informer.kind.describe(informer.namespace)}{why}"
        return None
