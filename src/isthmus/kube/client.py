"""Calls to one API server for processes, which wait for many things at a time; `blocking` has the same verbs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
from lightkube.config.kubeconfig import SingleConfig

from isthmus.kube import config, errors, requests
from isthmus.kube.connection import KEEPALIVE, LIMITS, MANAGER, NETWORK_ERRORS, TIMEOUT, Connection
from isthmus.kube.kinds import Kind, Object
from isthmus.kube.requests import Request

T = TypeVar("T")
A = TypeVar("A")


def connect(
    kubeconfig: config.Source = None, context: str | None = None, *, name: str = "", manager: str = MANAGER
) -> "Client":
    """A client for asyncio; does not talk to the server yet. `name` is what errors call the cluster."""
    return Client(config.load(kubeconfig, context), name=name, manager=manager)


class Client(Connection):
    """Calls for asyncio. A missing `namespace` means all of them when listing; objects name their own when written."""

    def __init__(self, where: SingleConfig, *, name: str = "", manager: str = MANAGER) -> None:
        super().__init__(where, name=name, manager=manager)
        transport = httpx2.AsyncHTTPTransport(
            verify=self._tls, limits=LIMITS, socket_options=KEEPALIVE, trust_env=False
        )
        self._http = httpx2.AsyncClient(transport=transport, **self._options())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, kind: Kind[T], name: str, namespace: str | None = None) -> T:
        return await self.call(requests.get(kind, name, namespace))

    async def list(
        self, kind: Kind[T], namespace: str | None = None, *, labels: str | None = None, fields: str | None = None
    ) -> list[T]:
        return [
            item
            async for page in self.pages(kind, namespace, labels=labels, fields=fields)
            for item in page.items or ()
        ]

    async def pages(
        self, kind: Kind[T], namespace: str | None = None, *, labels: str | None = None, fields: str | None = None
    ) -> AsyncIterator[requests.Page[T]]:
        """The list in parts, each with the resource version that the whole was read at."""
        continue_ = ""
        while True:
            request = requests.list_page(kind, namespace, labels, fields, continue_)
            page = requests.decode_page(request, kind, *await self._exchange(request), self.server)
            yield page
            if not (continue_ := page.metadata.continue_):
                return

    async def create(self, kind: Kind[T], item: Object, namespace: str | None = None) -> T:
        return await self.call(requests.create(kind, item, namespace, self.manager))

    async def replace(
        self, kind: Kind[T], item: Object, namespace: str | None = None, *, subresource: str | None = None
    ) -> T:
        """PUT; guarded by `metadata.resourceVersion` where the object carries it."""
        return await self.call(requests.replace(kind, item, namespace, self.manager, subresource))

    async def apply(
        self,
        kind: Kind[T],
        item: Object,
        namespace: str | None = None,
        *,
        manager: str | None = None,
        force: bool = True,
        subresource: str | None = None,
    ) -> T:
        """Server-side apply; fields that this manager stops naming are removed."""
        return await self.call(
            requests.apply(kind, item, namespace, manager or self.manager, force=force, subresource=subresource)
        )

    async def patch(
        self, kind: Kind[T], name: str, body: Any, namespace: str | None = None, *, subresource: str | None = None
    ) -> T:
        """A dict is sent as a merge patch, a list as a JSON patch."""
        return await self.call(requests.patch(kind, name, body, namespace, self.manager, subresource))

    async def patch_status(self, kind: Kind[T], name: str, status: Object, namespace: str | None = None) -> T:
        return await self.patch(kind, name, {"status": status}, namespace, subresource="status")

    async def delete(
        self, kind: Kind[Any], name: str, namespace: str | None = None, *, propagation: str = "Background"
    ) -> None:
        """Raises `NotFound` when there is nothing to delete."""
        await self.call(requests.delete(kind, name, namespace, propagation))

    async def discover(self, api_version: str, kind: str) -> Kind[Object]:
        """How a kind that only its manifest names is addressed; raises `NotFound`."""
        return requests.discovered(await self.call(requests.discovery(api_version)), kind, self.server)

    async def call(self, request: Request[A]) -> A:
        """Any request, for what has no verb of its own here."""
        return requests.decode(request, *await self._exchange(request), self.server)

    async def _exchange(self, request: Request[Any]) -> tuple[int, bytes]:
        try:
            answer = await self._http.request(request.method, request.path, **self._arguments(request))
        except NETWORK_ERRORS as error:
            raise self.unreachable(request.about, error) from error
        return answer.status_code, answer.content

    async def raw(self, method: str, path: str, **arguments: Any) -> bytes:
        """The body of any answer, undecoded: logs, service proxies, metrics."""
        request = Request(method, path, path, bytes, verb=method.lower())
        try:
            answer = await self._http.request(method, path, **arguments)
        except NETWORK_ERRORS as error:
            raise self.unreachable(path, error) from error
        if answer.status_code >= 400:
            raise requests.failure(request, answer.status_code, answer.content, self.server)
        return answer.content

    async def clock(self) -> datetime:
        """The time of day by the clock of the API server, to the second."""
        try:
            answer = await self._http.request("GET", "/version")
        except NETWORK_ERRORS as error:
            raise self.unreachable("/version", error) from error
        return self._date(answer)

    async def limited(self, path: str, *, most_bytes: int, seconds: float) -> bytes:
        """As `raw` with GET, from a server that is not believed to send little or soon; the time is for all of it."""
        request = Request("GET", path, path, bytes, verb="get")
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(seconds), self._http.stream("GET", path) as answer:
                async for chunk in answer.aiter_bytes():
                    chunks.append(chunk)
                    if sum(map(len, chunks)) > most_bytes:
                        raise errors.KubeError(f"{self.server} sent more than {most_bytes // 1024} KB for {path}")
        except (*NETWORK_ERRORS, TimeoutError) as error:
            raise self.unreachable(path, error) from error
        if answer.status_code >= 400:
            raise requests.failure(request, answer.status_code, b"".join(chunks), self.server)
        return b"".join(chunks)

    @asynccontextmanager
    async def stream(self, request: Request[Any], *, idle_seconds: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of a long answer; ends quietly with the server's end of it."""
        timeout = httpx2.Timeout(TIMEOUT.connect, read=idle_seconds)
        try:
            async with self._http.stream(
                request.method, request.path, timeout=timeout, **self._arguments(request)
            ) as answer:
                if answer.status_code >= 400:
                    raise requests.failure(request, answer.status_code, await answer.aread(), self.server)
                yield _lines(answer.aiter_bytes())
        except NETWORK_ERRORS as error:
            raise self.unreachable(request.about, error) from error


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines without limit of length (a Secret or a CRD may be a megabyte)."""
    rest: list[bytes] = []
    async for chunk in chunks:
        *lines, tail = chunk.split(b"\n")
        for line in lines:
            if whole := b"".join((*rest, line)):
                yield whole
            rest.clear()
        if tail:
            rest.append(tail)
