"""A client of gateways and proxies that says whatever a test wants it to say, right or wrong."""

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

CHUNK = 65536


class Bytes(Protocol):
    """A connection: a socket, TLS, or a tunnel."""

    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...


class RefusedError(Exception):
    """The other side ended the connection or the stream instead of answering."""


@dataclass
class Answer:
    """A response, or as much of it as there is."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def http1_get(connection: Bytes, path: str, **headers: str) -> Answer:
    """One HTTP/1.1 request on a connection that ends with it."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in {"host": "backend", **headers}.items()]
    head = "\r\n".join((f"GET {path} HTTP/1.1", *lines, "connection: close", "", ""))
    received = b""
    with refusals():
        connection.sendall(head.encode())
        while data := connection.recv(CHUNK):
            received += data
    if not received.startswith(b"HTTP/1.1 "):
        raise RefusedError(f"closed after {received!r}")
    top, _, body = received.partition(b"\r\n\r\n")
    first, *rest = top.decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in rest)
    return Answer(int(first.split()[1]), {name.lower(): value for name, value in pairs}, body)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """What ends a connection, as one kind of error."""
    try:
        yield
    except TimeoutError:
        raise
    except (ssl.SSLError, ConnectionError, ProtocolError, EOFError) as error:
        raise RefusedError(str(error)) from error


def tls(connection: Bytes, context: ssl.SSLContext, server_name: str | None) -> "Tls":
    """TLS on any connection, also inside a tunnel; shakes hands at once."""
    return Tls(connection, context, server_name)


class Tls:
    def __init__(self, below: Bytes, context: ssl.SSLContext, server_name: str | None) -> None:
        self._below = below
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_name)
        with refusals():
            while True:
                try:
                    self._tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    self._exchange()
            self._flush()

    def sendall(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def recv(self, size: int) -> bytes:
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                if not self._exchange():
                    return b""
            except ssl.SSLZeroReturnError:
                return b""

    def _flush(self) -> None:
        if pending := self._out.read():
            self._below.sendall(pending)

    def _exchange(self) -> bool:
        self._flush()
        data = self._below.recv(CHUNK)
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()
        return bool(data)


class Http2:
    """One HTTP/2 connection; header blocks are sent as they are, however wrong."""

    def __init__(self, below: Bytes) -> None:
        self._below = below
        configuration = H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="utf-8"
        )
        self._connection = H2Connection(configuration)
        self._events: list[Event] = []
        self._connection.initiate_connection()
        self._flush()

    def request(self, *headers: tuple[str, str], end: bool = True) -> Answer:
        """The answer to a request, with its body if `end`; RefusedError when it is no answer."""
        stream, answer = self.send(*headers, end=end)
        while end:
            event = self.next(stream)
            if isinstance(event, DataReceived):
                answer.body += event.data
            if isinstance(event, StreamEnded):
                break
        return answer

    def send(self, *headers: tuple[str, str], end: bool) -> tuple[int, Answer]:
        """Open a stream and wait for the head of the answer."""
        stream = self._connection.get_next_available_stream_id()
        with refusals():
            self._connection.send_headers(stream, list(headers), end_stream=end)
            self._flush()
            while True:
                event = self.next(stream)
                if isinstance(event, ResponseReceived):
                    fields = {str(name): str(value) for name, value in event.headers or ()}
                    return stream, Answer(int(fields[":status"]), fields)

    def connect(self, authority: str, *more: tuple[str, str]) -> tuple[Answer, "Tunnel"]:
        """Ask for a tunnel."""
        stream, answer = self.send((":method", "CONNECT"), (":authority", authority), *more, end=False)
        return answer, Tunnel(self, stream)

    def next(self, stream: int) -> Event:
        """What happens next on a stream; what happens on others is forgotten."""
        while True:
            while self._events:
                event = self._events.pop(0)
                if isinstance(event, ConnectionTerminated):
                    raise RefusedError(f"GOAWAY {event.error_code!r}")
                if getattr(event, "stream_id", None) == stream:
                    if isinstance(event, StreamReset):
                        raise RefusedError(f"reset {event.error_code!r}")
                    return event
            with refusals():
                data = self._below.recv(CHUNK)
                if not data:
                    raise RefusedError("closed")
                self._events += self._connection.receive_data(data)
                for event in self._events:
                    if isinstance(event, DataReceived) and event.flow_controlled_length:
                        self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id or 0)
                self._flush()

    def data(self, stream: int, data: bytes) -> None:
        self._connection.send_data(stream, data)
        self._flush()

    def _flush(self) -> None:
        if pending := self._connection.data_to_send():
            with refusals():
                self._below.sendall(pending)


class Tunnel:
    """A CONNECT stream as a connection."""

    def __init__(self, connection: Http2, stream: int) -> None:
        self._connection, self._stream = connection, stream

    def sendall(self, data: bytes) -> None:
        self._connection.data(self._stream, data)

    def recv(self, size: int) -> bytes:
        while True:
            try:
                event = self._connection.next(self._stream)
            except RefusedError:
                return b""
            if isinstance(event, DataReceived) and event.data:
                return event.data
            if isinstance(event, StreamEnded):
                return b""
