"""The server's side of SPDY/3.1, as far as port-forwarding speaks it. Sans I/O: bytes in, events and bytes out.

Theory of operation. A client opens streams (SYN_STREAM) that carry headers; the server accepts each with a SYN_REPLY.
Either side ends its half with the FIN flag or the whole stream with RST_STREAM; `_NEXT` is the table of a stream's
life. Header blocks of one direction share one zlib stream that begins with a dictionary fixed by the protocol, so they
must be encoded in the order in which they are sent. Flow control is left out, as the Kubernetes implementations do:
the connection below has its own.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from enum import Enum, IntEnum
from itertools import chain
from typing import Final, NamedTuple

MAX_HEADERS: Final = 64 * 1024
_VERSION: Final = 3
_CONTROL: Final = 0x80000000
_STREAM_ID: Final = 0x7FFFFFFF
FIN: Final = 0x01


class Kind(IntEnum):
    """Types of control frames."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class ResetCode(IntEnum):
    PROTOCOL_ERROR = 1
    REFUSED_STREAM = 3
    CANCEL = 5
    INTERNAL_ERROR = 6
    STREAM_ALREADY_CLOSED = 9


class Opened(NamedTuple):
    """The client opened a stream. With `end`, it will send nothing on it."""

    stream: int
    headers: dict[str, str]
    end: bool


class Data(NamedTuple):
    stream: int
    data: bytes
    end: bool


class Reset(NamedTuple):
    stream: int


class GoAway(NamedTuple):
    """The client opens no more streams."""


Event = Opened | Data | Reset | GoAway


class SpdyError(Exception):
    """The peer broke the protocol; the connection is of no more use."""


class State(Enum):
    OPEN = "open"
    REMOTE_ENDED = "the client has sent everything"
    LOCAL_ENDED = "the server has sent everything"


class _Step(Enum):
    REMOTE_END = "client's FIN"
    LOCAL_END = "server's FIN"


_NEXT: Final[dict[tuple[State, _Step], State | None]] = {
    (State.OPEN, _Step.REMOTE_END): State.REMOTE_ENDED,
    (State.OPEN, _Step.LOCAL_END): State.LOCAL_ENDED,
    (State.REMOTE_ENDED, _Step.LOCAL_END): None,
    (State.LOCAL_ENDED, _Step.REMOTE_END): None,
}
"""A stream's life; None is its end. A step that is not here has happened before and is ignored."""


class Session:
    """One SPDY connection. `receive` returns what happened; what must be sent in answer gathers for `outgoing`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._streams: dict[int, State] = {}
        self._outgoing: list[bytes] = []

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes as they arrive, in pieces of any size. Raises SpdyError."""
        self._buffer += data
        return [event for frame in self._frames() if (event := self._handle(*frame)) is not None]

    def outgoing(self) -> bytes:
        """What the session itself has to say: accepted streams, answers to pings, refusals. Empties the list."""
        taken = b"".join(self._outgoing)
        self._outgoing.clear()
        return taken

    def data(self, stream: int, data: bytes, *, end: bool = False) -> bytes:
        """A frame with data; nothing if the stream or the server's half of it is already over."""
        if self._streams.get(stream) not in (State.OPEN, State.REMOTE_ENDED):
            return b""
        if end:
            self._step(stream, _Step.LOCAL_END)
        return struct.pack(">II", stream, (FIN if end else 0) << 24 | len(data)) + data

    def reset(self, stream: int, code: ResetCode) -> bytes:
        """End a stream at once; nothing if it is over."""
        if self._streams.pop(stream, None) is None:
            return b""
        return control(Kind.RST_STREAM, struct.pack(">II", stream, code))

    def _frames(self) -> Iterator[tuple[int, int, bytes]]:
        while len(self._buffer) >= 8:
            head, size = struct.unpack_from(">II", self._buffer)
            flags, length = size >> 24, size & 0xFFFFFF
            if len(self._buffer) < 8 + length:
                return
            body = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            yield head, flags, body

    def _handle(self, head: int, flags: int, body: bytes) -> Event | None:
        end = bool(flags & FIN)
        if not head & _CONTROL:
            return self._on_data(head, body, end)
        if (head >> 16) & 0x7FFF != _VERSION:
            raise SpdyError(f"the client speaks version {(head >> 16) & 0x7FFF} of SPDY, only 3 is understood")
        try:
            match head & 0xFFFF:
                case Kind.SYN_STREAM:
                    return self._on_open(body, end)
                case Kind.RST_STREAM:
                    stream = struct.unpack_from(">I", body)[0] & _STREAM_ID
                    return Reset(stream) if self._streams.pop(stream, None) else None
                case Kind.PING:
                    self._outgoing.append(control(Kind.PING, body))
                case Kind.HEADERS:
                    self._headers(body[4:])  # not wanted, but the zlib stream must go on
                case Kind.GOAWAY:
                    return GoAway()
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise SpdyError(f"the client sent a frame that makes no sense: {error}") from error
        return None

    def _on_open(self, body: bytes, end: bool) -> Event:
        stream = struct.unpack_from(">I", body)[0] & _STREAM_ID
        headers = self._headers(body[10:])
        self._streams[stream] = State.REMOTE_ENDED if end else State.OPEN
        reply = struct.pack(">I", stream) + self._deflated({})
        self._outgoing.append(control(Kind.SYN_REPLY, reply))
        return Opened(stream, headers, end)

    def _on_data(self, stream: int, data: bytes, end: bool) -> Event | None:
        if self._streams.get(stream) not in (State.OPEN, State.LOCAL_ENDED):
            return None
        if end:
            self._step(stream, _Step.REMOTE_END)
        return Data(stream, data, end)

    def _step(self, stream: int, step: _Step) -> None:
        current = self._streams[stream]
        following = _NEXT.get((current, step), current)
        if following is None:
            del self._streams[stream]
        else:
            self._streams[stream] = following

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block, MAX_HEADERS)
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"the client sent more than {MAX_HEADERS} bytes of headers")
        return unpack_headers(plain)

    def _deflated(self, headers: Mapping[str, str]) -> bytes:
        return self._deflate.compress(pack_headers(headers)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def control(kind: Kind, body: bytes, *, flags: int = 0) -> bytes:
    """A control frame."""
    return struct.pack(">II", _CONTROL | _VERSION << 16 | kind, flags << 24 | len(body)) + body


def pack_headers(headers: Mapping[str, str]) -> bytes:
    texts = [text.encode() for text in chain.from_iterable(headers.items())]
    return struct.pack(">I", len(headers)) + b"".join(struct.pack(">I", len(text)) + text for text in texts)


def unpack_headers(block: bytes) -> dict[str, str]:
    """Names are lower case on the wire; struct.error for a block that is cut short."""
    (count,) = struct.unpack_from(">I", block)
    offset, texts = 4, []
    for _ in range(min(count * 2, len(block))):
        (length,) = struct.unpack_from(">I", block, offset)
        if offset + 4 + length > len(block):
            raise struct.error("a header is longer than its block")
        texts.append(block[offset + 4 : offset + 4 + length].decode())
        offset += 4 + length
    return {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=False)}


def _dictionary() -> bytes:
    """The text that header compression starts from: fixed by section 2.6.10.1 of the public SPDY/3 draft.

    Names and values with their lengths in front, then text without. 1,423 bytes, Adler-32 e3c6a7c2, which is also what
    zlib sees on the wire: a client with another dictionary fails at its first header block.
    """
    names = (
        "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age "
        "allow authorization cache-control connection content-base content-encoding content-language content-length "
        "content-location content-md5 content-range content-type date etag expect expires from host if-match "
        "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
        "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
        "user-agent vary via warning www-authenticate method get status"
    )
    phrases = ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
    words = [*names.split(" "), *phrases]
    text = (
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
        "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
        "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
        "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
        "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
        "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
    )
    return b"".join(struct.pack(">I", len(word)) + word.encode() for word in words) + text.encode()


DICTIONARY: Final = _dictionary()
