"""What this pod's proxy goes by: the roots that Envoy holds for the own trust domain, and who signs now.

Destination pushes both to Envoy in `trust/inbound`; Envoy tells its pod by its admin interface. So the agent follows a
rotation without waiting for its next certificate. Run as a program it prints the same for the command line, as JSON.
"""

import os
import socket
import sys
from collections.abc import Iterator
from typing import Any, Final

from isthmus import names
from isthmus.proxy import roots
from isthmus.proxy.settings import Settings, SettingsError

SECONDS: Final = 2.0
_TARGET: Final = "/config_dump?resource=dynamic_active_secrets&name_regex=%5Etrust/inbound%24"


class Held:
    """`roots` is "" while Envoy holds none for the domain, `issuer` while nobody said."""

    __slots__ = ("issuer", "roots")

    def __init__(self, *, roots: str = "", issuer: str = "") -> None:
        self.roots = roots
        self.issuer = issuer

    def encode(self) -> bytes:
        return f"{self.issuer}\n{self.roots}".encode()

    @classmethod
    def decode(cls, answer: bytes) -> "Held":
        issuer, _, roots = answer.decode().partition("\n")
        return cls(roots=roots, issuer=issuer)


def look(port: int, trust_domain: str) -> Held:
    """Ask Envoy; nothing held when it does not answer."""
    import json

    try:
        return read(json.loads(_ask(port)), trust_domain)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return Held()


def _ask(port: int) -> bytes:
    """The body of Envoy's answer."""
    text = b""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as envoy:
        envoy.sendall(f"GET {_TARGET} HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n".encode())
        while part := envoy.recv(65536):
            text += part
    head, _, body = text.partition(b"\r\n\r\n")
    return b"".join(_chunks(body)) if b"chunked" in head.lower() else body


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        yield rest[:length]
        body = rest[length + 2 :] if length else b""


def glance(port: int, trust_domain: str, known: int) -> bytes:
    """What `look` says after a line with its mark, or nothing while Envoy says what has the mark `known`.

    To parse it costs as much as all the rest, and it hardly ever changes.
    """
    try:
        mark = hash(_ask(port))
    except (OSError, ValueError):
        return b""
    return b"" if mark == known else f"{mark}\n".encode() + look(port, trust_domain).encode()


def read(dump: dict[str, Any], trust_domain: str) -> Held:
    """What a dump of Envoy's secrets says of a trust domain."""
    for secret in dump.get("configs") or ():
        validator = secret["secret"]["validation_context"]["custom_validator_config"]["typed_config"]
        for domain in validator["trust_domains"]:
            if domain["name"] == trust_domain:
                text = domain["trust_bundle"]["inline_string"]
                first = text.partition("\n")[0]
                issuer = first.removeprefix(names.ISSUER_COMMENT) if first.startswith(names.ISSUER_COMMENT) else ""
                return Held(roots=roots.together(text), issuer=issuer)
    return Held()


def main() -> int:
    """Print certificate, roots and issuer of this pod's proxy."""
    try:
        settings = Settings(os.environ)
        with open(f"{settings.identity_dir}/{names.CERTIFICATE_FILE}") as file:
            certificate = file.read()
    except (SettingsError, OSError) as error:
        print(f"the proxy has no certificate: {error}", file=sys.stderr)
        return 1
    held = look(settings.envoy_admin_port, settings.trust_domain)
    anchors = roots.remembered(settings.identity_dir)
    import json

    print(json.dumps({"certificate": certificate, "roots": held.roots, "anchors": anchors}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
