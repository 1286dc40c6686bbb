"""Asks a gateway again and again whether it is there, through this pod's own proxy, and tells what it learns."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp

from isthmus import names
from isthmus.multicluster.handshake import Finding
from isthmus.multicluster.links import Link, Probe
from isthmus.multicluster.liveness import Liveness

JITTER: Final = 0.1
FIRST_PERIOD: Final = 0.5
_OK: Final = 200
_NO_SUCH_THING: Final = (404, 405)


Examine = Callable[[], Awaitable[Finding | None]]
"""Looks closer at a gateway that does not answer."""


class ProbeFailed(Exception):
    """No answer of the gateway; the text says what came instead."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The gateway is there; `remark` is not empty where it does not know what it was asked for."""

    latency_ms: float
    remark: str = ""


async def nothing_found() -> Finding | None:
    return None


def url(link: Link, port: int, cluster_domain: str) -> str:
    """Where a Link's probes go: a port of the probe Service, which this pod's proxy leads to the gateway itself."""
    host = f"{names.PROBE_SERVICE_PREFIX}{link.target}.{link.namespace}.svc.{cluster_domain}"
    return f"http://{host}:{port}{link.probe.path}"


async def ask(where: str, timeout: float) -> Answer:
    """One probe; raises `ProbeFailed`. Whoever says that there is no such path is there.

    Each probe opens its own connection, so that it measures the gateway and not a connection that happens to be open.
    """
    started = time.perf_counter()
    try:
        async with (
            asyncio.timeout(timeout),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
            session.get(where, allow_redirects=False) as answer,
        ):
            await answer.read()
            status = answer.status
            reason = answer.headers.get(names.PROXY_ERROR_HEADER, "")
    except TimeoutError:
        raise ProbeFailed(f"no answer within {timeout:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise ProbeFailed(str(error) or type(error).__name__) from error
    latency_ms = (time.perf_counter() - started) * 1000
    if status == _OK:
        return Answer(latency_ms)
    if status in _NO_SUCH_THING and not reason:
        return Answer(latency_ms, str(status))
    raise ProbeFailed(f"answered {status}{f' ({reason})' if reason else ''}")


async def probe(
    where: str,
    spec: Probe,
    liveness: Liveness,
    *,
    told: Callable[[Liveness, bool], None],
    examine: Examine = nothing_found,
) -> None:
    """Probe until cancelled; `told` gets the new state and whether the probe was answered.

    Before a gateway is called down it is examined, and at every failure after that.
    """
    answered = time.monotonic()
    while True:
        began = time.monotonic()
        try:
            answer = await ask(where, spec.timeout)
            liveness = liveness.answered(answer.latency_ms, answer.remark)
            answered = began
            told(liveness, True)
        except ProbeFailed as failure:
            threshold = tolerated(spec, liveness, silent=time.monotonic() - answered)
            finding = await examine() if liveness.counts(threshold) else None
            seen, reason = (finding.seen, finding.reason) if finding else (str(failure), "")
            liveness = liveness.failed(seen, threshold, reason)
            told(liveness, False)
        await asyncio.sleep(pause(spec, liveness) * random.uniform(1, 1 + JITTER))  # noqa: S311


def pause(spec: Probe, liveness: Liveness) -> float:
    """Seconds to the next probe; few as long as there was no answer yet, for the probe Service may be just made."""
    return min(spec.period, FIRST_PERIOD) if liveness.state == "Probing" else spec.period


def tolerated(spec: Probe, liveness: Liveness, *, silent: float = 0.0) -> int:
    """How many failures in a row mean that the gateway is down: as much time as the Link says, however often asked.

    Two are enough after so many seconds without an answer, for probes that wait long for theirs are few.
    """
    if silent > spec.threshold * spec.period:
        return min(2, spec.threshold)
    return math.ceil(spec.threshold * spec.period / pause(spec, liveness))
