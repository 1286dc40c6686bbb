"""Calls to one API server for the command line, one after the other: the verbs and errors of `client`, blocking."""

from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
from lightkube.config.kubeconfig import SingleConfig

from isthmus.kube import config, requests
from isthmus.kube.connection import KEEPALIVE, LIMITS, MANAGER, NETWORK_ERRORS, Connection
from isthmus.kube.kinds import Kind, Object
from isthmus.kube.requests import Request

T = TypeVar("T")
A = TypeVar("A")


def connect_sync(
    kubeconfig: config.Source = None, context: str | None = None, *, name: str = "", manager: str = MANAGER
) -> "SyncClient":
    """The same for the command line."""
    return SyncClient(config.load(kubeconfig, context), name=name, manager=manager)


class SyncClient(Connection):
    """The same calls, blocking, for the command line."""

    def __init__(self, where: SingleConfig, *, name: str = "", manager: str = MANAGER) -> None:
        super().__init__(where, name=name, manager=manager)
        transport = httpx2.HTTPTransport(verify=self._tls, limits=LIMITS, socket_options=KEEPALIVE, trust_env=False)
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
        except NETWORK_ERRORS as error:
            raise self.unreachable(request.about, error) from error
        return requests.decode(request, answer.status_code, answer.content, self.server)

    def raw(self, method: str, path: str, **arguments: Any) -> bytes:
        """The body of any answer, undecoded: logs, service proxies, metrics."""
        request = Request(method, path, path, bytes, verb=method.lower())
        try:
            answer = self._http.request(method, path, **arguments)
        except NETWORK_ERRORS as error:
            raise self.unreachable(path, error) from error
        if answer.status_code >= 400:
            raise requests.failure(request, answer.status_code, answer.content, self.server)
        return answer.content

    def clock(self) -> datetime:
        """The time of day by the clock of the API server, to the second."""
        try:
            answer = self._http.request("GET", "/version")
        except NETWORK_ERRORS as error:
            raise self.unreachable("/version", error) from error
        return self._date(answer)
