"""Probes: is a container up, ready, alive. Sent from the node to the pod's address, or run inside the container.

A startup or readiness probe that has never succeeded is tried again quickly, so that a pod is ready when it is ready,
not at the next full period. Only the tries at full periods count as failures.
"""

import asyncio
import functools
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import aiohttp

FIRST_RETRY: Final = 0.1
RETRY_GROWTH: Final = 1.6
_SHOWN: Final = 300


class Kind(StrEnum):
    STARTUP = "Startup"
    LIVENESS = "Liveness"
    READINESS = "Readiness"


FIELDS: Final[Mapping[Kind, str]] = {
    Kind.STARTUP: "startupProbe",
    Kind.LIVENESS: "livenessProbe",
    Kind.READINESS: "readinessProbe",
}


@dataclass(frozen=True, slots=True)
class Probe:
    kind: Kind
    action: Mapping[str, Any]
    delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    successes: int = 1
    failures: int = 3


def probe_of(container: Mapping[str, Any], kind: Kind) -> Probe | None:
    """The container's probe of that kind, if it has one."""
    raw = container.get(FIELDS[kind])
    if not raw:
        return None
    return Probe(
        kind,
        action=raw,
        delay=float(raw.get("initialDelaySeconds") or 0),
        period=float(raw.get("periodSeconds") or 10),
        timeout=float(raw.get("timeoutSeconds") or 1),
        successes=int(raw.get("successThreshold") or 1),
        failures=int(raw.get("failureThreshold") or 3),
    )


@dataclass(slots=True)
class Tally:
    """Counts tries and says when a threshold is crossed: True, False, or None for no news."""

    probe: Probe
    verdict: bool | None = None
    _successes: int = field(default=0, init=False)
    _failures: int = field(default=0, init=False)

    def add(self, succeeded: bool) -> bool | None:
        if succeeded:
            self._successes, self._failures = self._successes + 1, 0
        else:
            self._successes, self._failures = 0, self._failures + 1
        reached = True if self._successes >= self.probe.successes else None
        reached = False if self._failures >= self.probe.failures else reached
        if reached is None or reached == self.verdict:
            return None
        self.verdict = reached
        return reached


@dataclass(frozen=True, slots=True)
class Outcome:
    """One try that counts: what it said ("" for success), and the verdict if this one changed it."""

    message: str
    verdict: bool | None


Check = Callable[[], Awaitable[str]]
"""One try: "" for success, else what was wrong."""


async def outcomes(probe: Probe, check: Check) -> AsyncIterator[Outcome]:
    """Try for ever; yields every try that counts."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(probe.delay)
    tally = Tally(probe)
    warming = probe.kind is not Kind.LIVENESS
    pause = FIRST_RETRY
    due = loop.time() + (probe.period if warming else 0.0)
    while True:
        message = await _within(probe.timeout, check)
        late = loop.time() >= due
        if not message:
            warming = False
        if late or not message:
            yield Outcome(message, tally.add(not message))
        if late:
            due += probe.period
        elif not warming:
            due = loop.time() + probe.period
        await asyncio.sleep(max(0.0, min(pause, due - loop.time()) if warming else due - loop.time()))
        pause = min(pause * RETRY_GROWTH, probe.period)


async def _within(timeout: float, check: Check) -> str:
    try:
        async with asyncio.timeout(timeout):
            return await check()
    except TimeoutError:
        return f"no answer within {timeout:g} s"


@dataclass(frozen=True, slots=True)
class Target:
    """Where the probes of a container go."""

    address: str
    ports: Mapping[str, int]
    run: Callable[[Sequence[str]], Awaitable[tuple[int, str]]]
    """Run a program in the container: exit code and what it printed."""

    def port(self, wanted: int | str) -> int:
        return self.ports[wanted] if isinstance(wanted, str) and wanted in self.ports else int(wanted)


def ports_of(container: Mapping[str, Any]) -> dict[str, int]:
    return {port["name"]: int(port["containerPort"]) for port in container.get("ports") or () if port.get("name")}


async def perform(action: Mapping[str, Any], target: Target) -> str:
    """Do what a probe (or a lifecycle hook) says; "" for success."""
    try:
        if (wanted := action.get("httpGet")) is not None:
            return await _http(wanted, target)
        if (wanted := action.get("tcpSocket")) is not None:
            return await _tcp(wanted.get("host") or target.address, target.port(wanted["port"]))
        if (wanted := action.get("exec")) is not None:
            code, said = await target.run(wanted.get("command") or ())
            return f"exit code {code}: {said[:_SHOWN].strip()}" if code else ""
        if (wanted := action.get("grpc")) is not None:
            return await _grpc(f"{target.address}:{int(wanted['port'])}", wanted.get("service") or "")
        if (wanted := action.get("sleep")) is not None:
            await asyncio.sleep(float(wanted.get("seconds") or 0))
            return ""
    except (OSError, aiohttp.ClientError, ValueError) as error:
        return str(error) or type(error).__name__
    return "the probe names no httpGet, tcpSocket, exec or grpc"


async def _http(wanted: Mapping[str, Any], target: Target) -> str:
    scheme = str(wanted.get("scheme") or "HTTP").lower()
    host = wanted.get("host") or target.address
    path = "/" + str(wanted.get("path") or "/").lstrip("/")
    url = f"{scheme}://{host}:{target.port(wanted['port'])}{path}"
    headers = {"User-Agent": "kube-probe/1.0"} | {one["name"]: one["value"] for one in wanted.get("httpHeaders") or ()}
    try:
        return await _get(url, headers)
    except aiohttp.ClientConnectorError as error:
        return f'Get "{url}": {os.strerror(error.errno).lower() if error.errno else error}'


async def _get(url: str, headers: Mapping[str, str]) -> str:
    connector = aiohttp.TCPConnector(ssl=_trusting() if url.startswith("https:") else True, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, headers=headers, allow_redirects=False) as response,
    ):
        if response.status < 400:
            return ""
        body = (await response.content.read(_SHOWN)).decode(errors="replace").strip()
        return f"HTTP probe failed with statuscode: {response.status}" + (f" ({body})" if body else "")


@functools.cache
def _trusting() -> ssl.SSLContext:
    """Probes do not look at certificates, as in Kubernetes."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _tcp(host: str, port: int) -> str:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    return ""


async def _grpc(address: str, service: str) -> str:
    """The standard health check, by hand: its messages are small, and the library is slow to import for few pods."""
    import grpc.aio

    name = service.encode()
    request = b"\x0a" + bytes([len(name)]) + name if name else b""
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            answer: bytes = await call(request)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
    return "" if answer == b"\x08\x01" else "service unhealthy"
