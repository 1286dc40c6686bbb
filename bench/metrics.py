"""`python -m bench.metrics`: what counting costs a proxy for each request, and what a scrape costs. No lab.

Two pairs of the tests' Envoys on loopback run the same application under the same load in turns, one pair with the
loggers taken out of its listeners; everything else is equal.
"""

import asyncio
import os
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from tests.envoy import harness
from tests.envoy.apps import echo
from tests.envoy.harness import Mesh, Pod, mesh

from bench import load, server
from bench.processes import Process
from isthmus.proxy import scrape

CONNECTIONS: Final = 32
SERVICES: Final = 100
_ROUNDS: Final = 7
_SECONDS: Final = 2
_SCRAPES: Final = 9
WITHOUT: Final = "without"


@dataclass(frozen=True, slots=True)
class Pair:
    """A client's and a server's proxy, and where the client's leads to the server's."""

    url: str
    roles: dict[str, tuple[Process, ...]]


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as folder:
        async with mesh(Path(folder) / "cost") as running:
            await _cost(running, Path(folder))
        async with mesh(Path(folder) / "scrape") as running:
            await _scrapes(running)


async def _cost(running: Mesh, folder: Path) -> None:
    async with pair(running, folder, "with") as counting, pair(running, folder, WITHOUT, counted=False) as silent:
        await compare({WITHOUT: silent, "with": counting}, of="metrics")


async def compare(pairs: Mapping[str, Pair], *, of: str) -> None:
    """Load every pair in turns, and print what each costs more than the one that is called WITHOUT."""
    spent: dict[tuple[str, str], list[float]] = {}
    within = Process(os.getpid(), os.getuid(), "")
    for number in range(_ROUNDS + 1):
        for name, each in pairs.items():
            run = await asyncio.to_thread(
                load.run, each.url, within=within, connections=CONNECTIONS, seconds=_SECONDS, roles=each.roles
            )
            assert not run.failed
            for role in each.roles if number else ():
                spent.setdefault((role, name), []).append(run.cpu[role])
    print(f"CPU per request, {CONNECTIONS} connections, median of {_ROUNDS} runs of {_SECONDS} s in turns")
    for role in ("client", "server"):
        plain = spent[role, WITHOUT]
        print(f"  {role}'s proxy: {median(plain):.1f} us without {of}")
        for name in [each for each in pairs if each != WITHOUT]:
            taken = spent[role, name]
            more = median(one / other - 1 for one, other in zip(taken, plain, strict=True))
            print(f"    {median(taken):.1f} us {name}: {more:+.1%}")


@asynccontextmanager
async def pair(
    running: Mesh, folder: Path, name: str, *, counted: bool = True, sampling: int | None = None
) -> AsyncIterator[Pair]:
    """Two proxies with an application behind; `sampling` as in ProxyConfig."""
    vip = running.new_address()
    with _loggers_taken_out(not counted):
        client = await running.pod(f"client-{name}", vips=(vip,), sampling=sampling)
        behind = await running.pod(f"server-{name}", sampling=sampling)
    endpoint = replace(behind.endpoint(), pod="server-6d4cf56db6-xk2lp", owner="deployment/server")
    running.route(client, vip, (endpoint,), service=f"server-{name}")
    binary = harness.envoy_binary()
    assert binary is not None
    config = folder / f"{name}.json"
    config.write_text(server.on_loopback(behind.address, harness.HIDDEN_APP_PORT))
    application = await asyncio.create_subprocess_exec(
        binary, "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"
    )  # fmt: skip
    try:
        await _answers(f"http://{vip}/")
        yield Pair(f"http://{vip}/", {"client": (_process(client),), "server": (_process(behind),)})
    finally:
        application.terminate()
        await application.wait()


class _loggers_taken_out:
    """For the time of the context, the tests' proxies get listeners without metrics."""

    def __init__(self, really: bool) -> None:
        self._really = really
        self._place: Any = harness._place

    def __enter__(self) -> None:
        def place(listener: Any, **where: Any) -> None:
            for chain in [*listener.filter_chains, listener.default_filter_chain]:
                for each in chain.filters:
                    _silence(each.typed_config)
            self._place(listener, **where)

        if self._really:
            harness._place = place

    def __exit__(self, *_: object) -> None:
        harness._place = self._place


def _silence(config: Any) -> None:
    manager = http_connection_manager_pb2.HttpConnectionManager()
    if config.Is(manager.DESCRIPTOR):
        config.Unpack(manager)
        del manager.access_log[:]
        config.Pack(manager)


def _process(pod: Pod) -> Process:
    assert pod.process is not None
    return Process(pod.process.pid, os.getuid(), "envoy")


async def _answers(url: str) -> None:
    async with asyncio.timeout(10), aiohttp.ClientSession() as session:
        while True:
            async with session.get(url) as reply:
                if reply.status == 200:
                    return
            await asyncio.sleep(0.05)


async def _scrapes(running: Mesh) -> None:
    """A proxy that talked to many services of another cluster, whose names are as long as names are."""
    vips = [running.new_address() for _ in range(SERVICES)]
    client, behind = await asyncio.gather(running.pod("client", vips=tuple(vips)), running.pod("server"))
    for number, vip in enumerate(vips):
        name = f"some-service-{number:03}"
        endpoint = replace(
            behind.endpoint(), pod=f"{name}-6d4cf56db6-xk2lp", cluster="cluster-east", namespace="test", service=name,
            owner=f"deployment/{name}",
        )  # fmt: skip
        service = f"{name}-cluster-east"
        running.route(client, vip, (endpoint,), target_cluster="cluster-east", service=service)
    async with echo(behind), aiohttp.ClientSession() as session:
        for vip in vips:
            async with session.get(f"http://{vip}/") as reply:
                assert reply.status == 200
    port = int(client.admin.rpartition(":")[2])
    times: list[float] = []
    parts: list[bytes] = []
    for _ in range(_SCRAPES):
        parts.clear()
        started = time.perf_counter()
        await asyncio.to_thread(_scrape, port, parts)
        times.append(time.perf_counter() - started)
    text = b"".join(parts)
    print(f"A scrape of a proxy that talked to {SERVICES} services of another cluster, median of {_SCRAPES}")
    zipped = len(zlib.compress(text, 1))
    print(f"  {median(times) * 1000:.0f} ms; {len(text) / 1e6:.2f} MB, {zipped / 1e3:.0f} kB as it goes to Prometheus")


def _scrape(port: int, parts: list[bytes]) -> None:
    scrape.envoy(port, cluster_domain="cluster.local", trust_domain="west.test", send=parts.append)


if __name__ == "__main__":
    asyncio.run(main())
