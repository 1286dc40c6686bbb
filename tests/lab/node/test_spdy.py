"""SPDY sessions as transcripts: bytes in, events and bytes out."""

import struct
import zlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.lab.node import spdy
from isthmus.lab.node.spdy import FIN, Data, GoAway, Kind, Opened, Reset, Session

HEADERS = {"streamtype": "data", "port": "8080", "requestid": "0"}


class Client:
    """The other side of a session, as plain as it gets."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=spdy.DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=spdy.DICTIONARY)

    def open(self, stream: int, headers: Mapping[str, str] = HEADERS, *, end: bool = False) -> bytes:
        block = self._deflate.compress(spdy.pack_headers(headers)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return spdy.control(Kind.SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + block, flags=FIN if end else 0)

    def data(self, stream: int, data: bytes, *, end: bool = False) -> bytes:
        return struct.pack(">II", stream, (FIN if end else 0) << 24 | len(data)) + data

    def read_reply(self, frame: bytes) -> tuple[int, dict[str, str]]:
        """The stream that the server accepted, and the headers of its reply."""
        kind, _, stream = struct.unpack_from(">III", frame)
        assert kind == 0x80030000 | Kind.SYN_REPLY
        return stream, spdy.unpack_headers(self._inflate.decompress(frame[12:]))


def test_the_dictionary_is_the_one_of_the_protocol() -> None:
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def test_a_stream_from_open_to_close() -> None:
    client, session = Client(), Session()
    assert session.receive(client.open(1)) == [Opened(1, HEADERS, end=False)]
    assert client.read_reply(session.outgoing()) == (1, {})
    assert session.receive(client.data(1, b"GET /")) == [Data(1, b"GET /", end=False)]
    assert session.data(1, b"200") == bytes.fromhex("00000001 00000003") + b"200"
    assert session.receive(client.data(1, b"", end=True)) == [Data(1, b"", end=True)]
    assert session.data(1, b"", end=True) == bytes.fromhex("00000001 01000000")
    assert session.data(1, b"too late") == b""
    assert session.receive(client.data(1, b"too late")) == []


def test_the_server_may_end_first_and_still_receive() -> None:
    client, session = Client(), Session()
    session.receive(client.open(1))
    session.data(1, b"bye", end=True)
    assert session.data(1, b"more") == b""
    assert session.receive(client.data(1, b"rest")) == [Data(1, b"rest", end=False)]


def test_header_compression_continues_from_stream_to_stream() -> None:
    client, session = Client(), Session()
    opened = [session.receive(client.open(stream, HEADERS | {"requestid": str(stream)})) for stream in (1, 3, 5)]
    assert [event.headers["requestid"] for (event,) in opened if isinstance(event, Opened)] == ["1", "3", "5"]
    replies = session.outgoing()
    accepted = []
    while replies:
        length = 8 + (struct.unpack_from(">I", replies, 4)[0] & 0xFFFFFF)
        accepted.append(client.read_reply(replies[:length]))
        replies = replies[length:]
    assert accepted == [(1, {}), (3, {}), (5, {})]


def test_pings_are_answered_with_themselves() -> None:
    session, ping = Session(), spdy.control(Kind.PING, struct.pack(">I", 7))
    assert session.receive(ping) == []
    assert session.outgoing() == ping
    assert session.outgoing() == b""


def test_a_reset_ends_the_stream_for_both() -> None:
    client, session = Client(), Session()
    session.receive(client.open(1))
    reset = spdy.control(Kind.RST_STREAM, struct.pack(">II", 1, spdy.ResetCode.CANCEL))
    assert session.receive(reset) == [Reset(1)]
    assert session.data(1, b"x") == b""
    assert session.reset(1, spdy.ResetCode.CANCEL) == b""
    assert session.receive(reset) == []


def test_going_away_is_told() -> None:
    assert Session().receive(spdy.control(Kind.GOAWAY, bytes(8))) == [GoAway()]


@pytest.mark.parametrize(
    "frame",
    [
        bytes.fromhex("80020001 00000000"),  # version 2
        spdy.control(Kind.SYN_STREAM, b"\0\0"),
        spdy.control(Kind.SYN_STREAM, struct.pack(">IIH", 1, 0, 0) + b"not zlib"),
        spdy.control(Kind.RST_STREAM, b""),
    ],
)
def test_nonsense_is_an_error_and_never_a_crash(frame: bytes) -> None:
    with pytest.raises(spdy.SpdyError):
        Session().receive(frame)


def test_headers_that_unpack_to_too_much_are_refused() -> None:
    with pytest.raises(spdy.SpdyError, match="bytes of headers"):
        Session().receive(Client().open(1, {"x": "y" * (spdy.MAX_HEADERS + 1)}))


@given(st.data())
def test_events_do_not_depend_on_how_the_bytes_are_cut(data: st.DataObject) -> None:
    client = Client()
    stream = (
        client.open(1)
        + client.data(1, b"abc")
        + spdy.control(Kind.PING, struct.pack(">I", 1))
        + client.open(3, end=True)
        + client.data(1, b"d", end=True)
    )
    whole = Session()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    cut = Session()
    assert [event for piece in pieces for event in cut.receive(piece)] == whole.receive(stream)
    assert cut.outgoing() == whole.outgoing()


@given(st.dictionaries(st.text(alphabet="abc-", min_size=1), st.text(max_size=20), max_size=6))
def test_headers_survive_packing(headers: dict[str, str]) -> None:
    assert spdy.unpack_headers(spdy.pack_headers(headers)) == headers
