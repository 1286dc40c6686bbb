"""Reads the pictures of this cluster and of those it links to, each by itself, while somebody watches."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import aiohttp
import msgspec

from isthmus import names
from isthmus.kube import client as kube
from isthmus.kube import errors
from isthmus.kube.meta import Key
from isthmus.kube.requests import UNREADABLE
from isthmus.resources.core import SECRETS
from isthmus.viz.api import PORT
from isthmus.viz.web_cluster import MOST_CALLS, MOST_SERVICES, MOST_WORKLOADS
from isthmus.viz.web_picture import PICTURE_PATH, LinkPicture, Picture, Unchanged

log = logging.getLogger(__name__)

PERIOD: Final = 1.0
PATIENCE: Final = 1.5
"""Seconds for one answer: with the period, a cluster that is gone shows as such within three."""
DETAIL_PATIENCE: Final = 5.0
MOST_BYTES: Final = 8 * 1024 * 1024
MOST_OTHERS: Final = 1000
"""Links, splits, tunnels and problems of one cluster."""
REMOTE: Final = f"/api/v1/namespaces/{names.VIZ_NAMESPACE}/services/{names.VIZ_METRICS_API}:{PORT}/proxy"
"""The metrics API of a linked cluster, by way of its API server: the only path there that this may take."""


class SourceError(Exception):
    """Why a cluster cannot be read: one of the states below, and a sentence."""

    def __init__(self, state: str, reason: str) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason


class Fetcher(Protocol):
    """One cluster's metrics API."""

    async def fetch(self, path: str, *, seconds: float) -> bytes:
        """Raises SourceError."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a cluster. `state` is one of connecting, live, unreachable, forbidden, absent, unreadable.

    `read_at` is when its proxies were last read and `heard_at` when it last answered, both by the clock here.
    """

    name: str = ""
    state: str = "connecting"
    reason: str = ""
    picture: Picture | None = None
    read_at: float = 0.0
    heard_at: float = 0.0


def heard(before: Seen, body: bytes, *, now: float) -> Seen:
    """After an answer. Raises SourceError for one that cannot be read."""
    try:
        answer = _decoded(body)
    except UNREADABLE as error:
        raise SourceError("unreadable", f"Its metrics API sent what cannot be read: {error}.") from error
    picture = answer if isinstance(answer, Picture) else before.picture
    age = max(answer.now - answer.at, 0.0)
    return replace(before, state="live", reason="", picture=picture, read_at=now - age, heard_at=now)


def _decoded(body: bytes) -> Picture | Unchanged:
    if body.startswith(b'{"unchanged"'):
        return msgspec.json.decode(body, type=Unchanged)
    return _bounded(msgspec.json.decode(body, type=Picture))


def _bounded(picture: Picture) -> Picture:
    """No more of anything than a metrics API paints: what a page does with it grows faster than it does."""
    return msgspec.structs.replace(
        picture,
        workloads=picture.workloads[:MOST_WORKLOADS],
        calls=picture.calls[:MOST_CALLS],
        services=picture.services[:MOST_SERVICES],
        splits=picture.splits[:MOST_OTHERS],
        links=picture.links[:MOST_OTHERS],
        tunnels=picture.tunnels[:MOST_OTHERS],
        problems=picture.problems[:MOST_OTHERS],
    )


class OwnFetcher:
    """The metrics API beside this process."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = aiohttp.ClientSession()

    async def fetch(self, path: str, *, seconds: float) -> bytes:
        try:
            async with (
                asyncio.timeout(seconds),
                self._http.get(f"{self._url}{path}", allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise SourceError("unreachable", f"Its metrics API answered with {answer.status}.")
                return await _all_of(answer)
        except TimeoutError:
            raise SourceError("unreachable", f"Its metrics API did not answer within {seconds:g} s.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise SourceError("unreachable", f"Its metrics API does not answer: {error}.") from error

    async def close(self) -> None:
        await self._http.close()


async def _all_of(answer: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for chunk in answer.content.iter_chunked(65536):
        body += chunk
        if len(body) > MOST_BYTES:
            raise SourceError("unreadable", "Its metrics API sent more than can be shown.")
    return body


class LinkedFetcher:
    """The metrics API of a linked cluster, through the Link's credentials."""

    def __init__(self, client: kube.Client) -> None:
        self._client = client

    async def fetch(self, path: str, *, seconds: float) -> bytes:
        try:
            return await self._client.limited(f"{REMOTE}{path}", most_bytes=MOST_BYTES, seconds=seconds)
        except errors.Forbidden as error:
            raise SourceError(
                "forbidden",
                "It does not let linked clusters read its numbers; what is shown is what this side sees. "
                "There, `linkerd viz install` without dashboard.shared=false permits it.",
            ) from error
        except errors.NotFound as error:
            raise SourceError("absent", "It has no viz extension; what is shown is what this side sees.") from error
        except errors.KubeError as error:
            said = str(error).replace(f"{REMOTE}{path}", "its numbers").rstrip(".")
            raise SourceError("unreachable", f"{said[:1].upper()}{said[1:]}.") from error

    async def close(self) -> None:
        await self._client.close()


async def credentials(local: kube.Client, key: Key) -> bytes:
    """The kubeconfig of a Link; raises SourceError."""
    namespace, name = key
    try:
        found = (await local.get(SECRETS, name, namespace)).value(names.CREDENTIALS_KEY)
    except errors.Forbidden as error:
        raise SourceError(
            "forbidden", "The page may not read the Link's credentials: run `linkerd viz install` again."
        ) from error
    except (errors.KubeError, ValueError) as error:
        raise SourceError("unreachable", f"The Link's credentials cannot be read: {error}") from error
    if found is None:
        raise SourceError("unreachable", f"Secret {namespace}/{name} has no key {names.CREDENTIALS_KEY}.")
    return found


async def linked(local: kube.Client, link: LinkPicture) -> Fetcher:
    """Raises SourceError."""
    kubeconfig = await credentials(local, link.credentials)
    try:
        return LinkedFetcher(kube.connect(kubeconfig, name=link.cluster, manager="isthmus-viz"))
    except errors.KubeError as error:
        raise SourceError("unreachable", str(error)) from error


class Follower:
    """Keeps what is known of one cluster up to date."""

    def __init__(self, name: str, connect: Callable[[], Awaitable[Fetcher]], changed: Callable[[], None]) -> None:
        self.seen = Seen(name=name)
        self._connect = connect
        self._changed = changed
        self._fetcher: Fetcher | None = None

    async def follow(self, watched: asyncio.Event) -> None:
        """Until cancelled; rests while nobody watches."""
        try:
            while True:
                await watched.wait()
                began = time.monotonic()
                await self.look()
                await asyncio.sleep(max(PERIOD - (time.monotonic() - began), 0.0))
        finally:
            await self._drop()

    async def look(self) -> None:
        """One question; whatever goes wrong is told in `seen`, and the next question begins with fresh credentials."""
        before = self.seen
        try:
            version = before.picture.version if before.picture else ""
            body = await self.ask(f"{PICTURE_PATH}?seen={version}", seconds=PATIENCE)
            self.seen = heard(before, body, now=time.time())
        except SourceError as error:
            await self._drop()
            self.seen = replace(before, state=error.state, reason=error.reason)
            if before.state != error.state:
                log.warning("cluster %s cannot be read: %s", before.name or "here", error.reason)
        if self.seen != before:
            self._changed()

    async def ask(self, path: str, *, seconds: float) -> bytes:
        """Raises SourceError."""
        if self._fetcher is None:
            try:
                async with asyncio.timeout(seconds):
                    self._fetcher = await self._connect()
            except TimeoutError:
                raise SourceError("unreachable", "This cluster's API server did not give the credentials.") from None
        return await self._fetcher.fetch(path, seconds=seconds)

    async def _drop(self) -> None:
        if self._fetcher is not None:
            fetcher, self._fetcher = self._fetcher, None
            await fetcher.close()


class Sources:
    """All clusters: this one, and one for each Link that its picture names."""

    def __init__(self, url: str, local: kube.Client, changed: Callable[[], None]) -> None:
        self._local = local
        self._tell = changed
        self.watched = asyncio.Event()

        async def own() -> Fetcher:
            return OwnFetcher(url)

        self._own = Follower("", own, self._own_changed)
        self._linked: dict[tuple[str, Key], tuple[Follower, asyncio.Task[None]]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._own.follow(self.watched))

    @property
    def seen(self) -> tuple[Seen, ...]:
        """This cluster first."""
        return (self._own.seen, *(follower.seen for follower, _ in self._linked.values()))

    async def ask(self, cluster: str, path: str) -> bytes:
        """A question to one cluster, "" for this one; raises SourceError."""
        if not cluster:
            return await self._own.ask(path, seconds=DETAIL_PATIENCE)
        for (name, _), (follower, _) in self._linked.items():
            if name == cluster:
                return await follower.ask(path, seconds=DETAIL_PATIENCE)
        raise SourceError("absent", f"No Link of this cluster leads to {cluster}.")

    def _own_changed(self) -> None:
        picture = self._own.seen.picture
        wanted = {(link.cluster, link.credentials): link for link in reversed(picture.links)} if picture else {}
        for key in self._linked.keys() - wanted.keys():
            self._linked.pop(key)[1].cancel()
        for key in [key for key in wanted if key not in self._linked]:
            self._begin(key, wanted[key])
        self._tell()

    def _begin(self, key: tuple[str, Key], link: LinkPicture) -> None:
        assert self._group
        follower = Follower(link.cluster, lambda: linked(self._local, link), self._tell)
        self._linked[key] = follower, self._group.create_task(follower.follow(self.watched))
