"""What every client knows about its API server: how to reach it, who we are there, and what to say when it fails."""

import os
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2
import msgspec
from lightkube.config.client_adapter import user_auth
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError as LightkubeConfigError

from isthmus.kube import auth, errors, requests, tls
from isthmus.kube.requests import Request

MANAGER: Final = "isthmus"
"""The field manager of everything we write, unless the caller names its own."""
TIMEOUT: Final = httpx2.Timeout(10, connect=5)
KEEPALIVE: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
]
"""A watch is silent for minutes; without these a black-holed API server would never be noticed."""
_VERSION: Final = Request("GET", "/version", "/version", bytes, verb="get")
LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=8)


class Connection:
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


NETWORK_ERRORS: Final = (httpx2.HTTPError, httpx2.InvalidURL, OSError, LightkubeConfigError)
