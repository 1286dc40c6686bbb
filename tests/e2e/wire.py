"""What is on a cable: a capture of whole packets, put together again to streams and read as TLS."""

import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from tests.e2e import inside

TLS_1_3 = 0x0304
_ETH_P_ALL, _IPV4, _TCP = 3, 0x0800, 6
_SOL_PACKET, _PACKET_STATISTICS, _SO_RCVBUFFORCE = 263, 6, 33
_BUFFER = 64 << 20
_LARGEST = 1 << 17
_SYN = 0x02
_CLIENT_HELLO, _SERVER_HELLO, _HANDSHAKE, _SUPPORTED_VERSIONS, _SERVER_NAME = 1, 2, 22, 43, 0
_RECORDS = {20: "change cipher spec", 21: "alert", 22: "handshake", 23: "application data"}


@dataclass(frozen=True, order=True)
class Flow:
    """One direction of a TCP connection."""

    source: str
    source_port: int
    target: str
    target_port: int

    @property
    def back(self) -> "Flow":
        return Flow(self.target, self.target_port, self.source, self.source_port)


@dataclass
class Stream:
    """What was said in one direction. `whole` when its beginning was seen."""

    whole: bool = False
    data: bytes = b""


@dataclass
class Capture:
    """The packets of one interface while the capture went on."""

    packets: list[bytes] = field(default_factory=list)
    dropped: int = 0

    @property
    def size(self) -> int:
        return sum(map(len, self.packets))

    def streams(self) -> dict[Flow, Stream]:
        """Every TCP connection's two directions, bytes in order."""
        segments: dict[Flow, dict[int, bytes]] = defaultdict(dict)
        first: dict[Flow, int] = {}
        for flow, sequence, flags, payload in filter(None, map(_segment, self.packets)):
            if flags & _SYN:
                first[flow] = sequence + 1
            segments[flow].setdefault(sequence, b"")
            if len(payload) > len(segments[flow][sequence]):
                segments[flow][sequence] = payload
        return {flow: _join(parts, first.get(flow)) for flow, parts in segments.items()}

    def others(self) -> set[str]:
        """IP packets that are not TCP, in words."""
        found = set()
        for packet in self.packets:
            (kind,) = struct.unpack("!H", packet[12:14])
            if kind == _IPV4 and packet[23] != _TCP:
                found.add(f"IP protocol {packet[23]} from {IPv4Address(packet[26:30])} to {IPv4Address(packet[30:34])}")
        return found


@contextmanager
def capture(namespace: Path, interface: str) -> Iterator[Capture]:
    """Everything that goes through an interface while the block runs, as tcpdump would see it."""
    tap = inside.within(namespace, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)))
    try:
        tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    except PermissionError:
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)  # as much of it as a user may have
    tap.bind((interface, 0))
    tap.settimeout(0.1)
    seen, end = Capture(), threading.Event()

    def read() -> None:
        while True:
            try:
                seen.packets.append(tap.recv(_LARGEST))
            except TimeoutError:
                if end.is_set():
                    return

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield seen
    finally:
        end.set()
        thread.join()
        _, seen.dropped = struct.unpack("II", tap.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        tap.close()


@dataclass(frozen=True)
class Hello:
    """What one side of a TLS handshake says in clear: the version chosen, or the server name asked for."""

    version: int = 0
    server_name: str = ""


def records(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The TLS records of a stream; ValueError where it is not TLS. A last record may be cut off."""
    while len(data) >= 5:
        kind, version, length = struct.unpack("!BHH", data[:5])
        if kind not in _RECORDS or version not in (0x0301, 0x0303) or length > 16640:
            raise ValueError(f"not TLS: {data[:64]!r}")
        yield _RECORDS[kind], data[5 : 5 + length]
        data = data[5 + length :]


def hello(stream: bytes) -> Hello:
    """The first message of a stream, a ClientHello or ServerHello."""
    kind, body = next(records(stream))
    if kind != "handshake" or body[0] not in (_CLIENT_HELLO, _SERVER_HELLO):
        raise ValueError(f"not a hello: {stream[:64]!r}")
    from_client = body[0] == _CLIENT_HELLO
    at = 4 + 2 + 32
    at += 1 + body[at]
    at += (2 + struct.unpack("!H", body[at : at + 2])[0] + 1 + 1) if from_client else 3
    extensions = dict(_extensions(body[at + 2 :]))
    if from_client:
        name = extensions.get(_SERVER_NAME, b"")
        return Hello(server_name=name[5:].decode())
    return Hello(version=int.from_bytes(extensions.get(_SUPPORTED_VERSIONS, b""), "big"))


def holding(marker: bytes, streams: Iterable[Stream]) -> int:
    """In how many streams the marker can be read."""
    return sum(marker.lower() in stream.data.lower() for stream in streams)


def _extensions(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        kind, length = struct.unpack("!HH", data[:4])
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


def _segment(packet: bytes) -> tuple[Flow, int, int, bytes] | None:
    (kind,) = struct.unpack("!H", packet[12:14])
    if kind != _IPV4 or packet[23] != _TCP:
        return None
    header = 4 * (packet[14] & 0x0F)
    (total,) = struct.unpack("!H", packet[16:18])
    ip = packet[14 : 14 + total] if total else packet[14:]
    tcp = ip[header:]
    source_port, target_port, sequence = struct.unpack("!HHI", tcp[:8])
    flow = Flow(str(IPv4Address(ip[12:16])), source_port, str(IPv4Address(ip[16:20])), target_port)
    return flow, sequence, tcp[13], tcp[4 * (tcp[12] >> 4) :]


def _join(parts: dict[int, bytes], first: int | None) -> Stream:
    """Segments by sequence number to bytes. Overlaps are cut; a gap, if any, is left out."""
    if not parts:
        return Stream()
    start = min(parts) if first is None else first
    data, expected = bytearray(), start
    for sequence in sorted(parts, key=lambda number: (number - start) % (1 << 32)):
        payload = parts[sequence]
        ahead = (sequence - start) % (1 << 32)
        if ahead >= 1 << 31:  # the SYN itself, or a keepalive before the beginning
            continue
        skip = max(0, (expected - start) - ahead)
        data += payload[skip:]
        expected = max(expected, start + ahead + len(payload))
    return Stream(whole=first is not None, data=bytes(data))
