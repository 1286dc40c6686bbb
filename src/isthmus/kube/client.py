"""Calls to one API server: `connect` for processes, `connect_sync` for the command line; same verbs, same errors."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx2
import msgspec
from lightkube.config.client_adapter import user_auth
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError as LightkubeConfigError

from isthmus.kube import auth, config, errors, requests, tls
from isthmus.kube.kinds import Kind, Object, plain
from isthmus.kube.requests import Request

T = TypeVar("T")
A = TypeVar("A")

MANAGER: Final = "isthmus"
"""The field manager of everything we write, unless the caller names its own."""
TIMEOUT: Final = httpx2.Timeout(10, connect=5)
_KEEPALIVE: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
]
"""A watch is silent for minutes; without these a black-holed API server would never be noticed."""
_VERSION: Final = Request("GET", "/version", "/version", bytes, verb="get")
_LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=8)


def connect(
    kubeconfig: config.Source = None, context: str | None = None, *, name: str = "", manager: str = MANAGER
) -> "Client":
    """A client for asyncio; does not talk to the server yet. `name` is what errors call the cluster."""
    return Client(config.load(kubeconfig, context), name=name, manager=manager)


def connect_sync(
    kubeconfig: config.Source = None, context: str | None = None, *, name: str = "", manager: str = MANAGER
) -> "SyncClient":
    """The same for the command line."""
    return SyncClient(config.load(kubeconfig, context), name=name, manager=manager)


class _Connection:
    """What both clients know about their server."""

    def __init__(self, where: SingleConfig, *, name: str, manager: str) -> None:
        self.url: str = where.cluster.server.rstrip("/")
        self.namespace: str = where.namespace
        self.context: str = where.context_name
        self.manager = manager
        self.server = f"cluster {name} ({self.url})" if name else f"the API server {self.url}"
        try:
            user = where.user or User()
            # Loading the system's roots takes a third of a second.
            encrypted = self.url.startswith("https:")
            self._tls = tls.cluster_context(where) if encrypted else False
            self._auth = auth.ExecAuth(user.exec) if user.exec else user_auth(user)
            httpx2.URL(self.url)
        except (LightkubeConfigError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise errors.ConfigError(f"The credentials for {self.server} cannot be used: {error}.") from error

    def _options(self) -> dict[str, Any]:
        return {"base_url": self.url, "auth": self._auth, "timeout": TIMEOUT, "trust_env": False}

    def _arguments(self, request: Request[Any]) -> dict[str, Any]:
        arguments: dict[str, Any] = {"params": dict(request.params)}
        if request.body is not None:
            arguments["content"] = msgspec.json.encode(request.body)
            arguments["headers"] = {"Content-Type": request.content_type}
        return arguments

    def _date(self, answer: httpx2.Response) -> datetime:
        if answer.status_code == httpx2.codes.UNAUTHORIZED:
            raise requests.failure(_VERSION, answer.status_code, answer.content, self.server)
        try:
            return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
        except (KeyError, ValueError, OverflowError) as error:
            raise errors.KubeError(f"{self.server} does not say what time it is") from error

    def unreachable(self, about: str, error: Exception) -> errors.KubeError:
        if isinstance(error, LightkubeConfigError):
            return errors.ConfigError(f"The credentials for {self.server} cannot be used: {error}.")
        if refused := _untrusted(error):
            return errors.Untrusted(
                f"{self.server} does not answer as itself: its certificate is not trusted ({refused.verify_message})"
            )
        return errors.Unreachable(f"{self.server} does not answer (asked for {about}): {_reason(error)}")


def _untrusted(error: BaseException) -> ssl.SSLCertVerificationError | None:
    return next((inner for inner in _inside(error) if isinstance(inner, ssl.SSLCertVerificationError)), None)


def _inside(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it wraps."""
    inner: BaseException | None = error
    while inner is not None:
        yield inner
        inner = inner.exceptions[0] if isinstance(inner, BaseExceptionGroup) else inner.__cause__ or inner.__context__


def _reason(error: BaseException) -> str:
    """What the kernel or TLS said, which the libraries in between wrap in exceptions without a text."""
    found = str(error) or type(error).__name__
    for inner in _inside(error):
        if isinstance(inner, httpx2.TimeoutException | TimeoutError):
            return "no answer in time"
        if isinstance(inner, OSError) and inner.strerror:
            of_the_kernel = (inner.errno or 0) > 0 and not isinstance(inner, ssl.SSLError)
            found = os.strerror(inner.errno or 0) if of_the_kernel else inner.strerror
    return found


_NETWORK_ERRORS: Final = (httpx2.HTTPError, httpx2.InvalidURL, OSError, LightkubeConfigError)


class Client(_Connection):
    """Calls for asyncio. A missing `namespace` means all of them when listing; objects name their own when written."""

    def __init__(self, where: SingleConfig, *, name: str = "", manager: str = MANAGER) -> None:
        super().__init__(where, name=name, manager=manager)
        transport = httpx2.AsyncHTTPTransport(
            verify=self._tls, limits=_LIMITS, socket_options=_KEEPALIVE, trust_env=False
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
        except _NETWORK_ERRORS as error:
            raise self.unreachable(request.about, error) from error
        return answer.status_code, answer.content

    async def raw(self, method: str, path: str, **arguments: Any) -> bytes:
        """The body of any answer, undecoded: logs, service proxies, metrics."""
        request = Request(method, path, path, bytes, verb=method.lower())
        try:
            answer = await self._http.request(method, path, **arguments)
        except _NETWORK_ERRORS as error:
            raise self.unreachable(path, error) from error
        if answer.status_code >= 400:
            raise requests.failure(request, answer.status_code, answer.content, self.server)
        return answer.content

    async def clock(self) -> datetime:
        """The time of day by the clock of the API server, to the second."""
        try:
            answer = await self._http.request("GET", "/version")
        except _NETWORK_ERRORS as error:
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
        except (*_NETWORK_ERRORS, TimeoutError) as error:
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
        except _NETWORK_ERRORS as error:
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


class SyncClient(_Connection):
    """The same calls, blocking, for the command line."""

    def __init__(self, where: SingleConfig, *, name: str = "", manager: str = MANAGER) -> None:
        super().__init__(where, name=name, manager=manager)
        transport = httpx2.HTTPTransport(verify=self._tls, limits=_LIMITS, socket_options=_KEEPALIVE, trust_env=False)
        self._http = httpx2.Client(transport=transport, **self._options())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, kind: Kind[T], name: str, namespace: str | None = None) -> T:
        return self.call(requests.get(kind, name, namespace))

    def list(
        self, kind: Kind[T], namespace: str | None = None, *, labels: str | None = None, fields: str | None = None
    ) -> list[T]:
        found: list[T] = []
        continue_ = ""
        while True:
            page = self.call(requests.list_page(kind, namespace, labels, fields, continue_))
            found += page.items or []
            if not (continue_ := page.metadata.continue_):
                return found

    def create(self, kind: Kind[T], item: Object, namespace: str | None = None) -> T:
        return self.call(requests.create(kind, item, namespace, self.manager))

    def replace(self, kind: Kind[T], item: Object, namespace: str | None = None) -> T:
        return self.call(requests.replace(kind, item, namespace, self.manager, None))

    def apply(
        self,
        kind: Kind[T],
        item: Object,
        namespace: str | None = None,
        *,
        manager: str | None = None,
        force: bool = True,
    ) -> T:
        return self.call(requests.apply(kind, item, namespace, manager or self.manager, force=force, subresource=None))

    def patch(
        self, kind: Kind[T], name: str, body: Any, namespace: str | None = None, *, subresource: str | None = None
    ) -> T:
        return self.call(requests.patch(kind, name, body, namespace, self.manager, subresource))

    def delete(
        self, kind: Kind[Any], name: str, namespace: str | None = None, *, propagation: str = "Background"
    ) -> None:
        self.call(requests.delete(kind, name, namespace, propagation))

    def discover(self, api_version: str, kind: str) -> Kind[Object]:
        return requests.discovered(self.call(requests.discovery(api_version)), kind, self.server)

    def call(self, request: Request[A]) -> A:
        try:
            answer = self._http.request(request.method, request.path, **self._arguments(request))
        except _NETWORK_ERRORS as error:
            raise self.unreachable(request.about, error) from error
        return requests.decode(request, answer.status_code, answer.content, self.server)

    def raw(self, method: str, path: str, **arguments: Any) -> bytes:
        """The body of any answer, undecoded: logs, service proxies, metrics."""
        request = Request(method, path, path, bytes, verb=method.lower())
        try:
            answer = self._http.request(method, path, **arguments)
        except _NETWORK_ERRORS as error:
            raise self.unreachable(path, error) from error
        if answer.status_code >= 400:
            raise requests.failure(request, answer.status_code, answer.content, self.server)
        return answer.content

    def clock(self) -> datetime:
        """The time of day by the clock of the API server, to the second."""
        try:
            answer = self._http.request("GET", "/version")
        except _NETWORK_ERRORS as error:
            raise self.unreachable("/version", error) from error
        return self._date(answer)


__all__ = ["MANAGER", "Client", "SyncClient", "connect", "connect_sync", "plain"]
