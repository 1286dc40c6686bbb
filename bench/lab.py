"""`python -m bench.lab`: how quick, how small and how safe the lab is, with the real processes.

CPU time is printed beside every duration: on a busy machine only that says something.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from isthmus.lab import pki

CLUSTERS: Final = ("cluster-east", "cluster-west")
PODS: Final = 100
OBJECTS: Final = 5000
WATCHES: Final = 50
WRITES_PER_SECOND: Final = 200
LOAD_SECONDS: Final = 10
IDLE_SECONDS: Final = 60
KILLED_AFTER: Final = 1.0
_SENT: Final = re.compile(rb'"sent":"([0-9.]+)"')
_PATH: Final = "/api/v1/namespaces/default/configmaps"


# --- the API server alone -------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Server:
    process: subprocess.Popen[bytes]
    session: aiohttp.ClientSession
    url: str


def _config(name: str) -> dict[str, object]:
    return {"metadata": {"name": name, "annotations": {"sent": str(time.monotonic())}}, "data": {"a": "x" * 200}}


@asynccontextmanager
async def served(folder: Path, listener: socket.socket) -> AsyncIterator[Server]:
    """The lab's API server on the data of a folder."""
    keys = pki.Pki(folder / "pki")
    command = [sys.executable, "-m", "isthmus.lab.api", "--cluster", "bench", "--data-dir", str(folder)]
    command += ["--pki-dir", str(keys.directory), "--listen-fd", str(listener.fileno())]
    command += ["--kubelet-socket", str(folder / "kubelet.sock")]
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, stderr=log, pass_fds=[listener.fileno()])  # noqa: ASYNC220 - returns at once
    connector = aiohttp.TCPConnector(ssl=keys.client_context(), limit=0)
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            await _ready(session, url)
            yield Server(process, session, url)
    finally:
        process.kill()
        process.wait()


async def _ready(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(aiohttp.ClientError, ssl.SSLError):
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.02)


async def _create(server: Server, name: str) -> None:
    async with server.session.post(server.url + _PATH, json=_config(name)) as answer:
        if answer.status != 201:
            raise RuntimeError(f"{name} was not created: {await answer.text()}")


async def filled(server: Server) -> float:
    """Make the objects, 16 at a time; how long it took."""
    began = time.monotonic()
    names = iter(range(OBJECTS))

    async def some() -> None:
        for number in names:
            await _create(server, f"c{number}")

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(some())
    return time.monotonic() - began


async def _watch(server: Server, version: str, latencies: list[float]) -> None:
    url = f"{server.url}{_PATH}?watch=true&resourceVersion={version}"
    timeout = aiohttp.ClientTimeout(total=None)
    async with server.session.get(url, timeout=timeout) as answer:
        async for line in answer.content:
            now = time.monotonic()
            found = _SENT.search(line)
            if found is not None:
                latencies.append(now - float(found[1]))


async def watched(server: Server) -> list[float]:
    """Write at a steady rate under many watches: the time from each write to each watch that tells of it."""
    async with server.session.get(f"{server.url}{_PATH}?limit=1") as answer:
        version = (await answer.json())["metadata"]["resourceVersion"]
    latencies: list[float] = []
    total = WRITES_PER_SECOND * LOAD_SECONDS
    async with asyncio.TaskGroup() as group:
        watches = [group.create_task(_watch(server, version, latencies)) for _ in range(WATCHES)]
        began = time.monotonic()
        async with asyncio.TaskGroup() as writes:
            for number in range(total):
                await asyncio.sleep(max(0.0, began + number / WRITES_PER_SECOND - time.monotonic()))
                writes.create_task(_create(server, f"w{number}"))
        async with asyncio.timeout(60):
            while len(latencies) < total * WATCHES:  # noqa: ASYNC110 - the last few of many appends
                await asyncio.sleep(0.05)
        for watch in watches:
            watch.cancel()
    return latencies


async def killed(folder: Path, listener: socket.socket) -> tuple[int, int]:
    """`kill -9` in the middle of writes: how many were acknowledged, and how many of those are lost."""
    acknowledged: set[str] = set()

    async def write(server: Server, who: int) -> None:
        with contextlib.suppress(aiohttp.ClientError, ConnectionError, ssl.SSLError):
            for number in range(100_000):
                await _create(server, f"k{who}-{number}")
                acknowledged.add(f"k{who}-{number}")

    async with served(folder, listener) as server, asyncio.TaskGroup() as group:
        for who in range(8):
            group.create_task(write(server, who))
        await asyncio.sleep(KILLED_AFTER)
        server.process.kill()
        server.process.wait()
        for _ in range(4):  # whoever knocks now would wait for the server that comes next
            with contextlib.suppress(BlockingIOError):
                listener.setblocking(False)
                listener.accept()[0].close()
    async with served(folder, listener) as server, server.session.get(server.url + _PATH) as answer:
        left = {item["metadata"]["name"] for item in (await answer.json())["items"]}
    return len(acknowledged), len(acknowledged - left)


async def api(folder: Path) -> None:
    pki.create(folder / "pki", cluster="bench", node_ip="127.0.0.1")
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        async with served(folder, listener) as server:
            seconds = await filled(server)
            used = cpu([server.process.pid])
            print(f"{OBJECTS} objects created          {seconds:8.1f} s   {used:5.1f} s of CPU")
            latencies = sorted(await watched(server))
            used = cpu([server.process.pid]) - used
            middle = statistics.median(latencies) * 1000
            print(f"{WATCHES} watches, {WRITES_PER_SECOND} writes/s: p50      {middle:8.1f} ms")
            print(f"                         p99      {latencies[int(len(latencies) * 0.99)] * 1000:8.1f} ms  (<= 100)")
            print(f"                         server   {used / LOAD_SECONDS * 100:8.0f} % of a core")
            print(f"                         memory   {memory([server.process.pid]):8.0f} MB with {OBJECTS} objects")
        written, lost = await killed(folder, listener)
        print(f"kill -9 during writes: lost       {lost:8d}     of {written} acknowledged (0)")


# --- the whole lab --------------------------------------------------------------------------------------------------
def cpu(pids: list[int]) -> float:
    """Seconds of CPU time of these processes."""
    tick = os.sysconf("SC_CLK_TCK")
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(found[11]) + int(found[12]) for found in fields) / tick


def memory(pids: list[int], *fields: str) -> float:
    """Megabytes of these processes: what they share counted in parts (PSS), or other fields of `smaps_rollup`."""
    wanted = re.compile(rf"^(?:{'|'.join(fields or ('Pss',))}):\s+(\d+) kB", re.MULTILINE)
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(size) for text in rollups for size in wanted.findall(text)) / 1024


def private(pids: list[int]) -> float:
    """Megabytes that go when these processes do (USS)."""
    return memory(pids, "Private_Clean", "Private_Dirty")


def _processes(folder: Path, cluster: str) -> list[int]:
    """The API server and the node of a cluster."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                name, _, where = (entry / "cmdline").read_bytes().decode(errors="replace").strip("\0").partition(" ")
                if name in ("isthmus.lab.api", "isthmus.lab.node") and Path(where).is_relative_to(folder / cluster):
                    found.append(int(entry.name))
    return found


def _daemon(folder: Path) -> int:
    """The process that all clusters share."""
    return int(json.loads((folder / "lab.json").read_bytes())["pid"])


@contextmanager
def up(folder: Path) -> Iterator[dict[str, str]]:
    environment = {**os.environ, "ISTHMUS_LAB_DIR": str(folder)}
    isthmus = str(Path(sys.executable).with_name("isthmus"))
    began = time.monotonic()
    subprocess.run([isthmus, "lab", "up"], env=environment, check=True, stdout=subprocess.DEVNULL)
    print(f"lab up, two clusters              {time.monotonic() - began:8.1f} s   (<= 5)")
    try:
        yield {**environment, "KUBECONFIG": str(folder / "kubeconfig")}
    finally:
        subprocess.run([isthmus, "lab", "down"], env=environment, check=True, stdout=subprocess.DEVNULL)


def lab(folder: Path) -> None:
    with up(folder) as environment:
        everything = {cluster: _processes(folder, cluster) for cluster in CLUSTERS}
        before = {cluster: cpu(pids) for cluster, pids in everything.items()}
        time.sleep(IDLE_SECONDS)
        daemon = [_daemon(folder)]
        for cluster, pids in everything.items():
            share = (cpu(pids) - before[cluster]) / IDLE_SECONDS * 100
            print(f"{cluster} idle                 {share:8.2f} %   of a core (<= 1)")
            whole = memory(pids) + memory(daemon) / len(CLUSTERS)
            print(f"{cluster} memory               {whole:8.0f} MB  with its part of what is shared (<= 60)")
            print(f"{cluster} memory of its own    {private(pids):8.0f} MB")
        pids = everything[CLUSTERS[0]]
        used, began = cpu(pids), time.monotonic()
        context = ("kubectl", "--context", CLUSTERS[0])
        create = [*context, "create", "deployment", "many", "--image=registry.k8s.io/pause:3.10", f"--replicas={PODS}"]
        subprocess.run(create, env=environment, check=True, stdout=subprocess.DEVNULL)
        wait = [*context, "rollout", "status", "deployment/many", "--timeout=300s"]
        subprocess.run(wait, env=environment, check=True, stdout=subprocess.DEVNULL)
        passed = time.monotonic() - began
        print(f"{PODS} pods ready                    {passed:8.1f} s   {cpu(pids) - used:5.1f} s of CPU (<= 30)")


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="isthmus-bench-"))
    try:
        asyncio.run(api(folder))
        lab(folder / "lab")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
