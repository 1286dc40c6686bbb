"""Reads the metrics of every meshed pod, every few seconds and when somebody asks; bounded in time, size and number."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import aiohttp
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from isthmus import names
from isthmus.viz.series import HISTORY_SECONDS, MOST_SERIES, History
from isthmus.viz.tables import plain
from isthmus.viz.workloads import Target

PERIOD: Final = 10.0
WATCHED_PERIOD: Final = 2.0
"""While somebody watches; longer where a look takes long, so that no more than a fifth of the time goes into it."""
AT_ONCE: Final = 20
SECONDS_PER_POD: Final = 2.0
MOST_BYTES: Final = 8 * 1024 * 1024
LEAST_APART: Final = 1.0
"""Rounds do not begin sooner after each other than this, however many ask."""
PATIENCE: Final = 6.0
"""The longest that a question waits for fresh numbers; then it gets those that are there."""
LONGEST_REASON: Final = 200
"""Characters: what a library says of an answer may quote it."""
TOLD: Final = 3
"""So many pods are named in a problem; of the rest the number."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Known:
    """A pod that was read, its numbers, and why it could not be read the last time."""

    target: Target
    history: History
    error: str = ""
    asked: bool = field(default=False)


@dataclass(frozen=True, slots=True)
class Round:
    """When all pods were read, from the first to the last."""

    began: float
    ended: float


class Metrics:
    """What the process tells about its own work."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.pods = Gauge("viz_scraped_pods", "Pods whose proxy could be read in the last round", registry=registry)
        self.series = Gauge("viz_series", "Series that are kept", registry=registry)
        self.failures = Counter("viz_scrape_failures", "Reads of a proxy that failed", registry=registry)


class Scraper:
    """`run` reads until cancelled; `fresh` returns when numbers are as new as they can be in time."""

    def __init__(
        self,
        targets: Callable[[], Iterable[Target]],
        clock: Callable[[], float],
        *,
        metrics: Metrics | None = None,
        port: int = names.ADMIN_PORT,
        most_series: int = MOST_SERIES,
    ) -> None:
        self._targets = targets
        self._clock = clock
        self._metrics = metrics
        self._port = port
        self._most_series = most_series
        self._known: dict[str, Known] = {}
        self._started = clock()
        self._last_began = 0.0
        self._late = False
        self._wanted = asyncio.Event()
        self._over = asyncio.Condition()
        self._took = 0.0
        self.began = 0.0
        """Since when numbers are kept, the beginning of the first round; 0 before that is over."""
        self.rounds: tuple[Round, Round] | None = None
        """The first that is over, and the last; None before one is."""

    @property
    def known(self) -> Iterable[Known]:
        return self._known.values()

    async def run(self) -> None:
        """Every round begins and ends here: a question waits for one, and takes none down when it goes."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=AT_ONCE, force_close=True),
            timeout=aiohttp.ClientTimeout(total=SECONDS_PER_POD),
        ) as http:
            while True:
                await asyncio.sleep(self._last_began + LEAST_APART - self._clock())
                self._wanted.clear()
                await self._look(http)
                with suppress(TimeoutError):
                    async with asyncio.timeout(PERIOD):
                        await self._wanted.wait()

    def watch(self) -> None:
        """Somebody watches: look soon, without being waited for."""
        if self._clock() - self._last_began >= max(WATCHED_PERIOD, 5 * self._took):
            self._wanted.set()

    async def fresh(self) -> None:
        """Return when all that was counted before the call is known; not later than a person waits."""
        if self.rounds is None:
            return
        came = self._clock()
        self._wanted.set()
        try:
            async with asyncio.timeout(PATIENCE), self._over:
                # A round that began earlier may have missed something.
                await self._over.wait_for(lambda: self.rounds is not None and self.rounds[1].began >= came)
        except TimeoutError:
            self._late = True

    async def _look(self, http: aiohttp.ClientSession) -> None:
        """One round. Pods that could not be read come last: while they are waited for, the others are known."""
        began = self._last_began = self._clock()
        targets = [each for each in self._targets() if each.meshed and each.running and each.ip]
        failed = {uid for uid, known in self._known.items() if known.error}
        limit = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for target in sorted(targets, key=lambda each: each.uid in failed):
                group.create_task(self._read(http, target, limit))
        self._late = False
        done = Round(began, self._clock())
        self._took = done.ended - began
        self.began = self.began or began
        self.rounds = (self.rounds[0] if self.rounds else done), done
        self._forget({target.uid for target in targets})
        async with self._over:
            self._over.notify_all()

    async def _read(self, http: aiohttp.ClientSession, target: Target, limit: asyncio.Semaphore) -> None:
        """One pod, whatever it sends: nothing that goes wrong here may take the round down."""
        async with limit:
            body, error = await self._body(http, target)
        known = self._known.get(target.uid)
        if known is None:
            known = self._known[target.uid] = Known(target, History(began=self._beginning(target)))
        known.target = target
        if body is not None:
            room = self._most_series - sum(each.history.size for each in self._known.values()) + known.history.size
            try:
                known.history.observe(self._clock(), body, room=room)
            except Exception:
                log.exception("the metrics of pod %s/%s", target.namespace, target.name)
                error = "its metrics cannot be understood, see the log of the metrics API"
        if error and not known.error:
            log.warning("pod %s/%s cannot be read: %s", target.namespace, target.name, error)
        if error and self._metrics:
            self._metrics.failures.inc()
        known.error = error

    async def _body(self, http: aiohttp.ClientSession, target: Target) -> tuple[bytes | None, str]:
        """The text, whole, or why there is none: half of it would look as if counters had begun anew."""
        host = f"[{target.ip}]" if ":" in target.ip else target.ip
        chunks: list[bytes] = []
        size = 0
        try:
            async with http.get(f"http://{host}:{self._port}/metrics", allow_redirects=False) as answer:
                if answer.status != 200:
                    return None, f"it answered with {answer.status}"
                async for chunk in answer.content.iter_chunked(65536):
                    size += len(chunk)
                    if size > MOST_BYTES:
                        return None, f"its metrics are larger than {MOST_BYTES // 1024 // 1024} MB"
                    chunks.append(chunk)
        except TimeoutError:
            return None, f"no answer within {SECONDS_PER_POD:.0f} s"
        except aiohttp.ClientResponseError:
            return None, "its answer is not HTTP"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return None, plain(str(error) or type(error).__name__)[:LONGEST_REASON]
        return b"".join(chunks), ""

    def _beginning(self, target: Target) -> float | None:
        """When the pod began, for one that did after we."""
        try:
            created = datetime.fromisoformat(target.created).timestamp()
        except ValueError:
            return None
        return created if self._started <= created < self._clock() else None

    def _forget(self, present: set[str]) -> None:
        horizon = self._clock() - HISTORY_SECONDS
        for uid, known in list(self._known.items()):
            known.asked = uid in present
            known.history.forget_before(horizon)
            if not known.asked and not (known.history.times and known.history.times[-1] > horizon):
                del self._known[uid]
        if self._metrics:
            self._metrics.pods.set(sum(1 for known in self._known.values() if known.asked and not known.error))
            self._metrics.series.set(sum(known.history.size for known in self._known.values()))

    def problems(self) -> Iterator[str]:
        """What makes the numbers incomplete, in sentences."""
        if self._late:
            age = self._clock() - self._last_began
            yield f"The pods could not all be read within {PATIENCE:.0f} s: some numbers are {age:.0f} s old, or older."
        failed = [each for each in self._known.values() if each.asked and each.error]
        if failed:
            yield _sentence("The proxies of these pods cannot be read", [(each, each.error) for each in failed])
        refused = [each for each in self._known.values() if each.asked and each.history.refused]
        if refused:
            yield _sentence(
                "These pods show more series than are kept",
                [(each, f"{each.history.refused} left out") for each in refused],
            )


def _sentence(what: str, whom: list[tuple[Known, str]]) -> str:
    whom = sorted(whom, key=lambda each: (each[0].target.namespace, each[0].target.name))
    told = ", ".join(f"{each.target.namespace}/{each.target.name} ({why})" for each, why in whom[:TOLD])
    rest = len(whom) - TOLD
    return f"{what}: {told}{f', and {rest} more' if rest > 0 else ''}."
