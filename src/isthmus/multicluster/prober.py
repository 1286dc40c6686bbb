"""Asks a gateway again and again whether it is there, through this pod's own proxy, and tells what it learns."""

import asyncio
import math
import random
import time
from collections.abc import Callable
from typing import Final

import aiohttp

from isthmus import names
from isthmus.multicluster.links import Link, Probe
from isthmus.multicluster.liveness import Liveness

JITTER: Final = 0.1
FIRST_PERIOD: Final = 0.5


class ProbeFailed(Exception):
    """No answer, or another one than 200; the text says which."""


def url(link: Link, cluster_domain: str) -> str:
    """Where a Link's probes go: the probe Service, which this pod's proxy leads to the gateway itself."""
    host = f"{names.PROBE_SERVICE_PREFIX}{link.target}.{link.namespace}.svc.{cluster_domain}"
    return f"http://{host}:{link.probe.port}{link.probe.path}"


async def ask(where: str, timeout: float) -> float:
    """The milliseconds that one probe took; raises `ProbeFailed`.

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
            reason = answer.headers.get("l5d-proxy-error", "")
    except TimeoutError:
        raise ProbeFailed(f"no answer within {timeout:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise ProbeFailed(str(error) or type(error).__name__) from error
    if status != 200:
        raise ProbeFailed(f"answered {status}{f' ({reason})' if reason else ''}")
    return (time.perf_counter() - started) * 1000


async def probe(where: str, spec: Probe, liveness: Liveness, *, told: Callable[[Liveness, bool], None]) -> None:
    """Probe until cancelled; `told` gets the new state and whether the probe was answered."""
    while True:
        try:
            liveness = liveness.answered(await ask(where, spec.timeout))
            told(liveness, True)
        except ProbeFailed as failure:
            liveness = liveness.failed(str(failure), tolerated(spec, liveness))
            told(liveness, False)
        await asyncio.sleep(pause(spec, liveness) * random.uniform(1, 1 + JITTER))  # noqa: S311


def pause(spec: Probe, liveness: Liveness) -> float:
    """Seconds to the next probe; few as long as there was no answer yet, for the probe Service may be just made."""
    return min(spec.period, FIRST_PERIOD) if liveness.state == "Probing" else spec.period


def tolerated(spec: Probe, liveness: Liveness) -> int:
    """How many failures in a row mean that the gateway is down: as much time as the Link says, however often asked."""
    return math.ceil(spec.threshold * spec.period / pause(spec, liveness))
