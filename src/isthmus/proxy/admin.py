"""One connection to the proxy's admin port, served by a process of its own.

Blocking code with hard time limits is enough here, because a client that is slow, hostile or gone can only hold up the
process that serves it. Nothing here may raise towards the agent.
"""

import os
import signal
import socket
from collections.abc import Callable
from typing import Final

HEAD_BYTES: Final = 8192
HEAD_SECONDS: Final = 2.0
ENVOY_SECONDS: Final = 5.0
TOTAL_SECONDS: Final = 30
REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
METRICS_TYPE: Final = "text/plain; version=0.0.4"
ZIPPED: Final = "Content-Encoding: gzip\r\n"
_GZIP: Final = 31
"""What zlib calls gzip with the largest window."""


class View:
    """What the agent knows at the moment a request arrives."""

    __slots__ = ("cluster_domain", "envoy_port", "expires_at", "not_ready", "refreshes", "trust_domain")

    def __init__(
        self,
        *,
        not_ready: str,
        envoy_port: int,
        expires_at: float,
        refreshes: int,
        cluster_domain: str,
        trust_domain: str,
    ) -> None:
        self.not_ready = not_ready
        """Why the agent itself is not ready, "" when it is and only Envoy remains to be asked."""
        self.envoy_port = envoy_port
        self.cluster_domain = cluster_domain
        self.trust_domain = trust_domain
        self.expires_at = expires_at
        self.refreshes = refreshes


def serve(connection: socket.socket, peer: str, view: View, shutdown: Callable[[], None]) -> None:
    """Read one request and answer it."""
    signal.alarm(TOTAL_SECONDS)
    connection.settimeout(HEAD_SECONDS)
    try:
        first, *headers = _read_head(connection).split(b"\r\n")
        words = first.decode("latin-1").split(" ")
        zipped = any(each.lower().startswith(b"accept-encoding:") and b"gzip" in each for each in headers)
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            _answer(connection, 400, "only HTTP/1 requests")
            return
        _route(connection, words[0], words[1].partition("?")[0], peer=peer, view=view, shutdown=shutdown, zipped=zipped)
    except (OSError, ValueError):
        # Too slow, too long or gone: there is nobody to tell.
        return


def _route(
    connection: socket.socket,
    method: str,
    path: str,
    *,
    peer: str,
    view: View,
    shutdown: Callable[[], None],
    zipped: bool,
) -> None:
    expected = "POST" if path == "/shutdown" else "GET"
    if path not in ("/ready", "/live", "/metrics", "/shutdown"):
        _answer(connection, 404, "only /ready, /live, /metrics and /shutdown")
    elif method != expected and (method, expected) != ("HEAD", "GET"):
        _answer(connection, 405, f"{path} takes {expected}")
    elif path == "/live":
        _answer(connection, 200, "live")
    elif path == "/ready":
        reason = view.not_ready or _envoy_not_ready(view.envoy_port)
        _answer(connection, 503 if reason else 200, reason or "ready")
    elif path == "/metrics":
        _metrics(connection, view, zipped=zipped)
    elif not peer.startswith("127."):
        _answer(connection, 403, "only from within the pod")
    else:
        shutdown()
        _answer(connection, 200, "shutting down")


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(2048)
        if not part or len(head) > HEAD_BYTES:
            raise ValueError("no request head")
        head += part
    return head


def _answer(connection: socket.socket, status: int, text: str) -> None:
    body = f"{text}\n".encode()
    head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    connection.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)


def _envoy_not_ready(port: int) -> str:
    try:
        with _ask_envoy(port, "GET", "/ready") as envoy:
            status = _status(_read_head(envoy))
    except (OSError, ValueError):
        return "Envoy does not answer"
    return "" if status == 200 else "Envoy is still loading its configuration"


def _metrics(connection: socket.socket, view: View, *, zipped: bool) -> None:
    """Our own lines first; then Envoy's as they come, under the names people know."""
    import zlib

    from isthmus.proxy import scrape

    head = f"HTTP/1.1 200 OK\r\nContent-Type: {METRICS_TYPE}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
    connection.settimeout(ENVOY_SECONDS)
    connection.sendall(f"{head}{ZIPPED if zipped else ''}\r\n".encode())
    packer = zlib.compressobj(1, wbits=_GZIP)

    def chunk(part: bytes) -> None:
        if part:
            connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))

    def send(part: bytes) -> None:
        chunk(packer.compress(part) if zipped else part)

    send(
        (
            "# TYPE identity_cert_expiration_timestamp_seconds gauge\n"
            f"identity_cert_expiration_timestamp_seconds {view.expires_at:.0f}\n"
            "# TYPE identity_cert_refresh_count counter\n"
            f"identity_cert_refresh_count {view.refreshes}\n"
        ).encode()
    )
    scrape.envoy(view.envoy_port, cluster_domain=view.cluster_domain, trust_domain=view.trust_domain, send=send)
    chunk(packer.flush() if zipped else b"")
    connection.sendall(b"0\r\n\r\n")


def drain(port: int, seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
    """Tell Envoy's clients to go elsewhere and wait until they have, or the time is over."""
    deadline = clock() + seconds
    try:
        with _ask_envoy(port, "POST", "/drain_listeners?graceful&skip_exit") as envoy:
            _read_head(envoy)
        while clock() < deadline and _open_connections(port):
            sleep(0.1)
    except (OSError, ValueError):
        return


def _open_connections(port: int) -> int:
    with _ask_envoy(port, "GET", "/stats?filter=downstream_cx_active") as envoy:
        text = b""
        while part := envoy.recv(65536):
            text += part
    lines = [line.rpartition(b": ") for line in text.splitlines() if line.startswith(b"listener.")]
    return sum(int(count) for name, _, count in lines if not name.startswith(b"listener.admin."))


def _ask_envoy(port: int, method: str, target: str) -> socket.socket:
    envoy = socket.create_connection(("127.0.0.1", port), ENVOY_SECONDS)
    envoy.sendall(f"{method} {target} HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n".encode())
    return envoy


def _status(head: bytes) -> int:
    return int(head.split(b" ", 2)[1])


def parent_shutdown() -> None:
    """Ask the agent, the parent of the process that serves a connection, to end."""
    os.kill(os.getppid(), signal.SIGTERM)
