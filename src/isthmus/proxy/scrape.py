"""One scrape: ask Envoy what it counted, and send it on as it comes, under the names people know."""

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from isthmus import names
from isthmus.proxy import metrics

SECONDS: Final = 5.0
PART_BYTES: Final = 65536


def envoy(port: int, *, cluster_domain: str, trust_domain: str, send: Callable[[bytes], None]) -> None:
    """Everything Envoy counted. An Envoy that is not there (yet) counted nothing."""
    try:
        linked = metrics.linked("".join(_lines(port, "/config_dump", _SECRET)))
    except ConnectionRefusedError:
        return
    scrape = metrics.Scrape(cluster_domain=cluster_domain, trust_domain=trust_domain, clusters=linked)
    _send(scrape.requests(_lines(port, "/stats/prometheus", _filter(metrics.REQUESTS))), send)
    scrape.connections(_lines(port, "/stats", _filter(metrics.CONNECTIONS)))
    _send(scrape.rest(), send)


def _quoted(text: str) -> str:
    """`urllib` would cost a scrape more than Envoy does."""
    return "".join(each if each.isalnum() else f"%{ord(each):02X}" for each in text)


def _filter(pattern: str) -> str:
    return f"filter={_quoted(pattern)}"


_SECRET: Final = f"resource=dynamic_active_secrets&name_regex={_quoted(f'^{names.TRUST_INBOUND_SECRET}$')}"


def _send(lines: Iterable[str], send: Callable[[bytes], None]) -> None:
    part: list[str] = []
    length = 0
    for line in lines:
        part.append(line)
        length += len(line)
        if length >= PART_BYTES:
            send("".join(part).encode())
            part.clear()
            length = 0
    if part:
        send("".join(part).encode())


def _lines(port: int, path: str, query: str) -> Iterator[str]:
    """The lines of one of Envoy's pages, as they come: in chunks, which end anywhere."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection, connection.makefile("rb") as page:
        connection.sendall(f"GET {path}?{query} HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n".encode())
        while page.readline().strip():
            pass
        rest = b""
        while size := int(page.readline().strip() or b"0", 16):
            *lines, rest = (rest + page.read(size)).split(b"\n")
            page.readline()
            for line in lines:
                yield line.decode("utf-8", "replace")
        if rest:
            yield rest.decode("utf-8", "replace")
