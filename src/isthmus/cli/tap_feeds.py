"""The feeds of single requests of many pods at once, each a `kubectl exec` in the pod's proxy.

So Kubernetes decides who may tap, by the permission for `pods/exec` in the pod's namespace, and its audit log has it.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

from isthmus import names
from isthmus.cli.options import Cluster, fail
from isthmus.viz.tapped import Request
from isthmus.viz.workloads import Target

MOST_PODS: Final = 10
HEARTBEAT: Final = 8.0
PATIENCE: Final = 3.0
WAITING: Final = 1000
"""Requests that nobody has looked at yet; when there are more, the pods are read more slowly."""
_PROGRAM: Final = ("python", "-I", "-m", "isthmus.proxy.tap")

Event = tuple[Target, Request]


class Feeds:
    """The requests of some pods, as they end; `problems` says whose are missing, and why."""

    def __init__(self, cluster: Cluster, pods: Sequence[Target], flags: Sequence[str]) -> None:
        self._cluster = cluster
        self._pods = pods
        self._flags = flags
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(WAITING)
        self._left = len(pods)
        self.problems: list[str] = []

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """The pods are tapped while the context is open."""
        tasks = [asyncio.create_task(self._read(pod)) for pod in self._pods]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def next(self, seconds: float | None) -> Event | None:
        """The next request; None after so many seconds without one. StopAsyncIteration when every pod has ended."""
        if not self._left and self._events.empty():
            raise StopAsyncIteration
        try:
            return await asyncio.wait_for(self._events.get(), seconds)
        except TimeoutError:
            return None

    async def _read(self, pod: Target) -> None:
        try:
            await self._follow(pod)
        finally:
            self._left -= 1
            with suppress(asyncio.QueueFull):
                self._events.put_nowait(None)

    async def _follow(self, pod: Target) -> None:
        process = await asyncio.create_subprocess_exec(
            *_kubectl(self._cluster),
            *("exec", "-i", "-n", pod.namespace, pod.name, "-c", names.PROXY_CONTAINER, "--", *_PROGRAM, *self._flags),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdin
        assert process.stdout
        assert process.stderr
        alive = asyncio.create_task(_live(process.stdin))
        try:
            async for line in process.stdout:
                with suppress(msgspec.DecodeError):
                    await self._events.put((pod, msgspec.json.decode(line, type=Request)))
            said = (await process.stderr.read()).decode(errors="replace").strip()
            self.problems.append(f"Pod {pod.namespace}/{pod.name}: {_last_line(said) or 'the feed ended'}")
        finally:
            alive.cancel()
            await _end(process)


def _kubectl(cluster: Cluster) -> list[str]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        fail("kubectl is not on PATH.", "Install it; this command runs `kubectl exec`.")
    return [
        kubectl,
        *(["--kubeconfig", cluster.kubeconfig] if cluster.kubeconfig else []),
        *(["--context", cluster.context] if cluster.context else []),
    ]


async def _live(stdin: asyncio.StreamWriter) -> None:
    """Tell the program in the pod that somebody reads."""
    with suppress(ConnectionError):
        while True:
            stdin.write(b"\n")
            await stdin.drain()
            await asyncio.sleep(HEARTBEAT)


async def _end(process: asyncio.subprocess.Process) -> None:
    """The end of its input ends the program in the pod, and with it kubectl."""
    assert process.stdin
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except (TimeoutError, asyncio.CancelledError):
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _last_line(said: str) -> str:
    """kubectl ends with a line of its own about the exit code."""
    lines = [line for line in said.splitlines() if line and not line.startswith("command terminated")]
    return lines[-1] if lines else ""


async def follow(
    feeds: Feeds,
    show: Callable[[Event], bool],
    *,
    limit: int,
    seconds: float | None,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Show requests until `limit` were shown (0: no limit), `seconds` are over, or no pod is left.

    `show` says whether it did. `tick` is called about once a second.
    """
    clock = asyncio.get_running_loop().time
    deadline = None if seconds is None else clock() + seconds
    ticked, shown = clock(), 0
    async with feeds.reading():
        while not (limit and shown >= limit):
            now = clock()
            if deadline is not None and now >= deadline:
                return
            if now - ticked >= 1.0:
                tick()
                ticked = now
            try:
                event = await feeds.next(1.0 if deadline is None else min(1.0, deadline - now))
            except StopAsyncIteration:
                return
            if event is not None:
                shown += show(event)
