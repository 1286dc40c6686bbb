"""Single requests of this pod, one JSON line each, while somebody reads them. The standard library only.

Run as a program in the proxy's container (`kubectl exec`), so whoever may do that may tap, and nobody else. Envoy
hands out requests as long as this program listens to it; what it is asked to leave out never leaves it. Of a request
only what is named here is told: no header of the application, no body.
"""

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from isthmus import names
from isthmus.envoy.bootstrap import TAP
from isthmus.proxy.traces import told

SECONDS: Final = 5.0
SILENCE: Final = 30.0
"""Who reads says so on standard input every few seconds; after so long without a word nobody does."""
MOST_PER_SECOND: Final = 1000
LARGEST_TRACE: Final = 1 << 20
_END: Final = b"\n}\n"
"""Of a trace as Envoy writes it: a line of its own, which no text in it can hold."""
_BUSY: Final = "somebody else taps this pod"


class TapError(Exception):
    """There is nothing to read; the message says why."""


class Wish:
    """Which requests, and how many of them a second."""

    __slots__ = ("headers", "most")

    def __init__(self, *, most: int, headers: Sequence[tuple[str, str, str]]) -> None:
        """`headers`: name, how it is compared (`exact` or `prefix`), and with what."""
        self.most = most
        self.headers = headers

    def config(self) -> bytes:
        """What Envoy is asked for."""
        rules = [{"name": name, "string_match": {how: text}} for name, how, text in self.headers]
        match = {"http_request_headers_match": {"headers": rules}} if rules else {"any_match": True}
        output = {
            "sinks": [{"format": "JSON_BODY_AS_STRING", "streaming_admin": {}}],
            "max_buffered_rx_bytes": 0,
            "max_buffered_tx_bytes": 0,
        }
        return json.dumps({"config_id": TAP, "tap_config": {"match": match, "output_config": output}}).encode()


# --- Envoy --------------------------------------------------------------------------------------------------------
class Feed:
    """A connection to Envoy's admin interface on which traces arrive. Envoy taps while it is open."""

    def __init__(self, port: int, wish: Wish) -> None:
        body = wish.config()
        head = f"POST /tap HTTP/1.1\r\nHost: envoy\r\nContent-Length: {len(body)}\r\n\r\n"
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        try:
            self._socket.sendall(head.encode() + body)
            self._raw = self._head()
        except BaseException:
            self.close()
            raise
        self._text = b""

    def _head(self) -> bytes:
        read = b""
        while b"\r\n\r\n" not in read:
            part = self._socket.recv(65536)
            if not part:
                raise TapError("the proxy ended the connection")
            read += part
        head, _, rest = read.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            said = rest.decode(errors="replace").strip()
            raise TapError(_BUSY if "already" in said else f"the proxy refuses: {said[:200]}")
        return rest

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> Iterator[bytes]:
        """The traces that have come as a whole."""
        part = self._socket.recv(1 << 18)
        if not part:
            raise TapError("the proxy ended the connection")
        self._raw += part
        yield from self.traces()

    def traces(self) -> Iterator[bytes]:
        for chunk in self._chunks():
            self._text += chunk
        *whole, self._text = self._text.split(_END)
        if len(self._text) + len(self._raw) > LARGEST_TRACE:
            raise TapError("a request is too large to be told")
        for each in whole:
            yield each + _END

    def _chunks(self) -> Iterator[bytes]:
        while (line_end := self._raw.find(b"\r\n")) >= 0:
            size = int(self._raw[:line_end].partition(b";")[0] or b"0", 16)
            end = line_end + 2 + size
            if len(self._raw) < end + 2:
                return
            yield self._raw[line_end + 2 : end]
            self._raw = self._raw[end + 2 :]

    def close(self) -> None:
        self._socket.close()


# --- the program --------------------------------------------------------------------------------------------------
class Output:
    """Lines to a reader who may be slow: what he does not take at once waits, and the feed must wait with it.

    Whoever reads Envoy's feed slowly makes Envoy keep what was not read.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._waiting = b""

    def tell(self, line: dict[str, Any]) -> bool:
        """Whether the reader has taken everything so far."""
        self._waiting += json.dumps(line).encode() + b"\n"
        return self.flush()

    def flush(self) -> bool:
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(self._descriptor, self._waiting) :]
        except BlockingIOError:
            return False
        return True

    def fileno(self) -> int:
        return self._descriptor


class Tap:
    """Tells at most so many requests a second; for the rest of a second that has more, Envoy is not listened to."""

    def __init__(self, port: int, wish: Wish, *, reader: int, output: Output, pod_ip: str) -> None:
        """`reader` is a descriptor on which whoever reads gives a sign of life."""
        self._port, self._wish = port, wish
        self._reader = reader
        self._output = output
        self._pod_ip = pod_ip
        self._second = 0
        self._told = 0
        self._heard = time.monotonic()

    def run(self) -> None:
        """Until whoever reads is gone."""
        said = False
        while True:
            feed = Feed(self._port, self._wish)
            try:
                if not said:
                    said = self._output.tell({"listening": True})
                if not self._follow(feed):
                    return
            finally:
                feed.close()
            self._output.tell({"skipping": True})
            if not self._pause():
                return

    def _follow(self, feed: Feed) -> bool:
        """False when nobody reads any more; True when there was enough for this second, or for the reader."""
        if self._hand_on(feed.traces()):
            return True
        while True:
            ready, _, _ = select.select([feed.fileno(), self._reader], [], [], 1.0)
            if not self._read_on(ready):
                return False
            if feed.fileno() in ready and self._hand_on(feed.read()):
                return True

    def _hand_on(self, traces: Iterator[bytes]) -> bool:
        """Whether that is enough."""
        for trace in traces:
            now = int(time.monotonic())
            if now != self._second:
                self._second, self._told = now, 0
            if self._told >= self._wish.most:
                return True
            self._told += 1
            if not self._output.tell(told(json.loads(trace), self._pod_ip)):
                return True
        return False

    def _pause(self) -> bool:
        """To the end of this second, and until the reader has taken everything."""
        while True:
            left = self._second + 1 - time.monotonic()
            if left <= 0 and self._output.flush():
                return True
            full = [] if left > 0 else [self._output.fileno()]
            ready, _, _ = select.select([self._reader], full, [], left if left > 0 else 1.0)
            if not self._read_on(ready):
                return False

    def _read_on(self, ready: Sequence[int]) -> bool:
        """Whether somebody reads, by the last sign of it."""
        now = time.monotonic()
        if self._reader in ready:
            if not os.read(self._reader, 4096):
                return False
            self._heard = now
        return now - self._heard < SILENCE


def wish(arguments: Sequence[str]) -> Wish:
    """`--max-rps N`, and what requests must have: `--method M`, `--scheme S`, `--authority A`, `--path PREFIX`."""
    import argparse

    parser = argparse.ArgumentParser(prog="isthmus.proxy.tap", description=__doc__)
    parser.add_argument("--max-rps", type=int, default=100)
    for name in ("method", "scheme", "authority", "path"):
        parser.add_argument(f"--{name}", default="")
    flags = parser.parse_args(arguments)
    if not 0 < flags.max_rps <= MOST_PER_SECOND:
        parser.error(f"--max-rps is 1 to {MOST_PER_SECOND}")
    exact = [(f":{name}", "exact", getattr(flags, name)) for name in ("method", "scheme", "authority")]
    headers = [*exact, (":path", "prefix", flags.path)]
    return Wish(most=flags.max_rps, headers=[each for each in headers if each[2]])


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 when the reader left, 1 with a sentence when there is nothing to read."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        Tap(
            names.ENVOY_ADMIN_PORT,
            wish(arguments),
            reader=sys.stdin.fileno(),
            output=Output(sys.stdout.fileno()),
            pod_ip=os.environ.get("ISTHMUS_POD_IP", ""),
        ).run()
    except TapError as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        print(f"the proxy does not answer as expected: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
