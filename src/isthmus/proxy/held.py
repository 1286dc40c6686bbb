"""What this pod's proxy goes by: the roots that Envoy holds for the own trust domain, and who signs now.

Destination pushes both to Envoy in `trust/inbound`; Envoy tells its pod by its admin interface. So the agent follows a
rotation without waiting for its next certificate (`rotations`). Run as a program it prints the same for the command
line, as JSON.
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


def ask(port: int) -> int:
    """A socket on which Envoy will answer; OSError when it cannot be asked at once."""
    with socket.socket() as envoy:
        envoy.setblocking(False)
        envoy.connect_ex(("127.0.0.1", port))
        envoy.send(f"GET {_TARGET} HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n".encode())
        return envoy.detach()


def read(answer: bytes, trust_domain: str) -> Held:
    """What Envoy's answer says of a trust domain; nothing held when it cannot be read."""
    import json

    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        return found(json.loads(b"".join(_chunks(body)) if b"chunked" in head.lower() else body), trust_domain)
    except (ValueError, LookupError, TypeError, AttributeError):
        return Held()


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        yield rest[:length]
        body = rest[length + 2 :] if length else b""


def found(dump: dict[str, Any], trust_domain: str) -> Held:
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


def look(port: int, trust_domain: str) -> Held:
    """Ask Envoy and wait; nothing held when it does not answer."""
    text = b""
    try:
        with socket.socket(fileno=ask(port)) as envoy:
            envoy.settimeout(SECONDS)
            while part := envoy.recv(65536):
                text += part
    except OSError:
        return Held()
    return read(text, trust_domain)


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
