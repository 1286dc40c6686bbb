"""Live requests of one workload for the page, tapped as `viz top` does: with the permission of who runs the command.

So what the page shows of paths is decided by Kubernetes, for each reader of his own, and the page's pod may do nothing.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from isthmus import names
from isthmus.cli.options import Cluster
from isthmus.cli.tap_feeds import Event, Feeds
from isthmus.cli.viz_tap import names_in
from isthmus.kube import errors
from isthmus.resources.core import CONFIG_MAPS, PODS
from isthmus.viz.tables import plain
from isthmus.viz.tapped import Names, Request, Row, Top
from isthmus.viz.web_cluster import place
from isthmus.viz.workloads import Target, target

MOST_PODS: Final = 3
MOST_RPS: Final = 20
"""Requests of a pod that are looked at in a second."""
MOST_ROWS: Final = 15
LONGEST: Final = 300.0
"""Seconds; whoever still looks asks again."""
AT_ONCE: Final = 2
EVERY: Final = 1.0


class RequestsError(Exception):
    """Why requests cannot be shown, as a sentence for the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A workload. `cluster` is "" for the one that the command was called for; `domain` its trust domain, if known."""

    cluster: str
    domain: str
    namespace: str
    kind: str
    name: str


class _Callers(Names):
    """Who calls through a gateway is told by what it proved: the gateway only carries it."""

    __slots__ = ()

    def source(self, request: Request) -> str:
        found = super().source(request)
        if found != f"deployment/{names.GATEWAY}" or not request.peer:
            return found
        _, _, who = request.peer.partition("/ns/")
        return f"{who.replace('/sa/', '/')}, through the gateway"


@dataclass(frozen=True, slots=True)
class _Found:
    pods: list[Target]
    names: Names


@dataclass(slots=True)
class _Counted:
    """What was seen so far, and what the page is told of it."""

    found: _Found
    inbound: Top = field(init=False)
    outbound: Top = field(init=False)
    listening: set[str] = field(default_factory=set)
    busy: bool = False

    def __post_init__(self) -> None:
        self.inbound, self.outbound = Top(self.found.names), Top(self.found.names)

    def add(self, event: Event) -> None:
        pod, request = event
        if request.listening:
            self.listening.add(pod.uid)
        elif request.skipping:
            self.busy = True
        else:
            (self.inbound if request.inbound else self.outbound).add(request)

    def told(self, seconds: float, problems: list[str]) -> dict[str, Any]:
        return {
            "asked": [_row(key, row, other=0) for key, row in self.inbound.ranked(MOST_ROWS)],
            "asks": [_row(key, row, other=1) for key, row in self.outbound.ranked(MOST_ROWS)],
            "seconds": round(seconds),
            "listening": len(self.listening),
            "pods": len(self.found.pods),
            "most": MOST_RPS,
            "busy": self.busy,
            "problems": problems,
        }


def _row(key: tuple[str, str, str, str], row: Row, *, other: int) -> dict[str, Any]:
    """`other` says which of source and destination is not the workload itself. Latencies in milliseconds."""
    return {
        "with": plain(key[other]),
        "method": plain(key[2]),
        "path": plain(key[3]),
        "count": row.count,
        "failed": row.failed,
        **{name: None if (held := getattr(row, name)) is None else held / 1000 for name in ("best", "worst", "last")},
    }


class LiveRequests:
    """`follow` taps while it is iterated, and no longer than a few minutes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._free = AT_ONCE

    async def follow(self, wanted: Wanted) -> AsyncGenerator[dict[str, Any]]:
        """What was counted so far, once a second. Raises RequestsError."""
        if not self._free:
            raise RequestsError(f"Live requests are shown in {AT_ONCE} places already: close one.")
        self._free -= 1
        try:
            cluster = self._context(wanted)
            found = await asyncio.to_thread(_find, cluster, wanted)
            async for told in _tapped(cluster, found):
                yield told
        finally:
            self._free += 1

    def _context(self, wanted: Wanted) -> Cluster:
        return replace(self._cluster, context=wanted.cluster) if wanted.cluster else self._cluster


async def _tapped(cluster: Cluster, found: _Found) -> AsyncGenerator[dict[str, Any]]:
    feeds = Feeds(cluster, found.pods[:MOST_PODS], [f"--max-rps={MOST_RPS}"])
    counted = _Counted(found)
    clock = asyncio.get_running_loop().time
    began = told = clock()
    async with feeds.reading():
        while (now := clock()) - began < LONGEST:
            if now - told >= EVERY:
                told = now
                yield counted.told(now - began, feeds.problems)
            try:
                event = await feeds.next(max(told + EVERY - now, 0.01))
            except StopAsyncIteration:
                break
            if event is not None:
                counted.add(event)
    if not counted.listening:
        raise RequestsError(" ".join(feeds.problems) or "No pod could be tapped.")
    yield counted.told(clock() - began, feeds.problems)


def _find(cluster: Cluster, wanted: Wanted) -> _Found:
    """Raises RequestsError."""
    from isthmus.kube.blocking import connect_sync

    command = f"`linkerd viz top {wanted.kind}/{wanted.name} -n {wanted.namespace} --context ...`"
    instead = f"With one that leads there, {command} shows them."
    try:
        client = connect_sync(cluster.kubeconfig, cluster.context)
    except errors.KubeError as error:
        if wanted.cluster:
            raise RequestsError(f"Your kubeconfig has no usable context {wanted.cluster}. {instead}") from error
        raise RequestsError(str(error)) from error
    with client:
        try:
            if wanted.cluster and not _is_that(client.get, wanted.domain):
                raise RequestsError(f"Your context {wanted.cluster} is another cluster than the one shown. {instead}")
            pods = [target(pod, {}) for pod in client.list(PODS, wanted.namespace)]
            known = names_in(client, pods, wanted.namespace)
        except errors.KubeError as error:
            raise RequestsError(str(error)) from error
    own = (wanted.namespace, wanted.kind, wanted.name)
    chosen = [pod for pod in pods if pod.meshed and pod.running and place(pod) == own]
    if not chosen:
        raise RequestsError("No running pod of it has a proxy.")
    return _Found(sorted(chosen, key=lambda pod: pod.name), _Callers(known.pods, known.services))


def _is_that(get: Any, domain: str) -> bool:
    """Whether a cluster has the trust domain that the page shows; as far as that may be read."""
    try:
        roots = get(CONFIG_MAPS, names.TRUST_ROOTS_CONFIG_MAP, names.CONTROL_PLANE_NAMESPACE)
    except errors.Forbidden:
        return True
    except errors.NotFound:
        return False
    return not domain or roots.data.get(names.TRUST_DOMAIN_KEY, "") == domain
