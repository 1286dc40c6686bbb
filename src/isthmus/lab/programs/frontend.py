"""The tutorial's frontend: a page that calls $BACKEND_URL and shows what came back."""

import html
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("PORT", "8080"))
BACKEND = os.environ.get("BACKEND_URL", "")
TIMEOUT = 5.0

PAGE = """<!doctype html>
<title>frontend</title>
<h1>frontend on {pod}</h1>
<p>{backend} answered {status} in {milliseconds:.0f} ms:</p>
<pre>{answer}</pre>
"""


def call(url: str) -> tuple[str, str]:
    """Status and body of one call to the backend."""
    if not url:
        return "nothing", "BACKEND_URL is not set: there is nobody to call"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310 - the URL is the pod's own setting
            return str(response.status), response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return str(error.code), error.read().decode(errors="replace") or str(error)
    except OSError as error:
        return "nothing", str(error)


class Frontend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/health":
            self.send("text/plain", b"ok\n")
            return
        began = time.monotonic()
        status, answer = call(BACKEND)
        page = PAGE.format(
            pod=html.escape(socket.gethostname()),
            backend=html.escape(BACKEND or "Nobody"),
            status=status,
            milliseconds=(time.monotonic() - began) * 1000,
            answer=html.escape(answer),
        )
        self.send("text/html; charset=utf-8", page.encode())

    def send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        print(f"{self.address_string()} {format % args}", flush=True)


def main() -> None:
    server = ThreadingHTTPServer(("0.0.0.0", PORT), Frontend)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on port {server.server_port}, backend is {BACKEND or 'not set'}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
