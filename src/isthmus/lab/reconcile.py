"""Work by key: each key is handled by one task at a time, again after a change, again after a failure."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import aiohttp

from isthmus.lab.client import ApiError, ConflictError

log = logging.getLogger(__name__)

BACK_OFF_FIRST: Final = 0.02
BACK_OFF_MOST: Final = 1.0
"""Short, since somebody sits in front of a lab: what was missing is soon there, and asking again costs little."""
WORKERS: Final = 8

K = TypeVar("K", bound=object)
Reconcile = Callable[[K], Awaitable[float | None]]
"""Bring one key to its desired state. A number asks to be called again after so many seconds."""


class Reconciler(Generic[K]):
    """Calls `reconcile` for every enqueued key until cancelled.

    A key enqueued many times before its turn is handled once; enqueued while it is being handled, once more after.
    A failure is retried with a growing delay per key, and logged once it is no mere conflict.
    """

    def __init__(self, name: str, reconcile: Reconcile[K]) -> None:
        self._name = name
        self._reconcile = reconcile
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._queued: set[K] = set()
        self._running: set[K] = set()
        self._dirty: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}

    def enqueue(self, key: K) -> None:
        """Have `key` handled soon. To be called in the event loop."""
        if key in self._running:
            self._dirty.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.put_nowait(key)

    def enqueue_after(self, key: K, delay: float) -> None:
        """Have `key` handled in `delay` seconds at the latest."""
        loop = asyncio.get_running_loop()
        waiting = self._timers.get(key)
        if waiting is not None:
            if waiting.when() <= loop.time() + delay:
                return
            waiting.cancel()
        self._timers[key] = loop.call_later(delay, self._due, key)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(self._work())
        finally:
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.enqueue(key)

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            self._queued.discard(key)
            self._running.add(key)
            try:
                await self._handle(key)
            finally:
                self._running.discard(key)
            if key in self._dirty:
                self._dirty.discard(key)
                self.enqueue(key)

    async def _handle(self, key: K) -> None:
        try:
            again = await self._reconcile(key)
        except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
            self._retry(key, error, level=logging.DEBUG if isinstance(error, ConflictError) else logging.WARNING)
        except Exception as error:
            log.exception("%s %s: unexpected", self._name, key)
            self._retry(key, error, level=logging.DEBUG)
        else:
            self._failures.pop(key, None)
            if again is not None:
                self.enqueue_after(key, again)

    def _retry(self, key: K, error: Exception, *, level: int) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(BACK_OFF_FIRST * 2 ** (failures - 1), BACK_OFF_MOST)
        log.log(level, "%s %s: %s; again in %.2f s", self._name, key, error or type(error).__name__, delay)
        self.enqueue_after(key, delay)
