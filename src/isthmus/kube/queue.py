"""A queue of keys to reconcile: a key is in it once, has one worker at a time, and backs off when it fails."""

import asyncio
import heapq
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

log = logging.getLogger(__name__)

FIRST_DELAY: Final = 0.2
LONGEST_DELAY: Final = 60.0


class Schedule(Generic[K]):
    """Which keys are due when; knows no clock.

    A key that is added while it is being worked on is due again when the work ends, so no change is lost.
    """

    def __init__(self, *, first_delay: float = FIRST_DELAY, longest_delay: float = LONGEST_DELAY) -> None:
        self._first = first_delay
        self._longest = longest_delay
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0
        self._active: set[K] = set()
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: K, at: float) -> None:
        """Due at `at`, or earlier if it already was."""
        if key in self._due and self._due[key] <= at:
            return
        self._due[key] = at
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, key))

    def next_due(self) -> float | None:
        """When there is something to take; None if nothing is waiting."""
        while self._heap:
            at, _, key = self._heap[0]
            if self._due.get(key) == at and key not in self._active:
                return at
            heapq.heappop(self._heap)
        return None

    def take(self, now: float) -> K | None:
        """A key that is due, now being worked on; end with `done` or `failed`."""
        at = self.next_due()
        if at is None or at > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._due[key]
        self._active.add(key)
        return key

    def done(self, key: K) -> None:
        self._failures.pop(key, None)
        self._end(key)

    def failed(self, key: K, now: float) -> float:
        """Try again later; the delay doubles with every failure in a row. Returns the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(self._first * 2.0 ** min(failures, 30), self._longest)
        self._active.discard(key)
        if key in self._due:
            # Something changed meanwhile: do not make the change wait longer than the back-off.
            delay = min(delay, max(self._due.pop(key) - now, self._first))
        self.add(key, now + delay)
        return delay

    def _end(self, key: K) -> None:
        self._active.discard(key)
        if key in self._due:
            self._order += 1
            heapq.heappush(self._heap, (self._due[key], self._order, key))


class WorkQueue(Generic[K]):
    """The schedule with a clock and workers."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        first_delay: float = FIRST_DELAY,
        longest_delay: float = LONGEST_DELAY,
    ) -> None:
        self._clock = clock
        self._schedule: Schedule[K] = Schedule(first_delay=first_delay, longest_delay=longest_delay)
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._schedule)

    def add(self, key: K, *, after: float = 0.0) -> None:
        """Reconcile `key` soon, or after some seconds at the latest."""
        self._schedule.add(key, self._clock() + after)
        self._changed.set()

    async def run(self, reconcile: Callable[[K], Awaitable[float | None]], *, workers: int = 1) -> None:
        """Work until cancelled. `reconcile` returns in how many seconds to look again, or None; raising backs off."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work(reconcile))

    async def _work(self, reconcile: Callable[[K], Awaitable[float | None]]) -> None:
        while True:
            key = await self._next()
            try:
                again = await reconcile(key)
            except Exception as error:
                delay = self._schedule.failed(key, self._clock())
                log.warning("%s: %s; trying again in %.1f s", key, error or type(error).__name__, delay)
            else:
                self._schedule.done(key)
                if again is not None:
                    self.add(key, after=again)
            self._changed.set()

    async def _next(self) -> K:
        while True:
            now = self._clock()
            key = self._schedule.take(now)
            if key is not None:
                # Another worker may find more.
                self._changed.set()
                return key
            self._changed.clear()
            due = self._schedule.next_due()
            try:
                async with asyncio.timeout(None if due is None else max(due - now, 0.001)):
                    await self._changed.wait()
            except TimeoutError:
                continue
