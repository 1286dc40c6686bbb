"""One attempt to get a workload certificate: make a key, ask the identity service, keep the answer for Envoy.

Key and TLS are the openssl program's: importing `ssl` would double the size of the agent.
"""

import calendar
import json
import os
import time
from typing import Any, Final

from isthmus import names
from isthmus.envoy.bootstrap import (
    ROOTS_FILE,
    SECRETS_SOCKET,
    WORKLOAD_FILE,
    bootstrap,
    roots_secret,
    workload_secret,
)
from isthmus.proxy import programs
from isthmus.proxy.held import look
from isthmus.proxy.issued import Issued, refused
from isthmus.proxy.roots import TRUST_ANCHORS_FILE, together
from isthmus.proxy.settings import Settings

OPENSSL: Final = "openssl"
LOCAL_SECONDS: Final = 10.0
REQUEST_SECONDS: Final = 15.0
_KEY_START: Final = "-----BEGIN PRIVATE KEY-----"
_KEY_END: Final = "-----END PRIVATE KEY-----\n"

_CAUSES: Final = (
    ("Name or service not known", "its name does not resolve; is the control plane installed, and does DNS work?"),
    ("Temporary failure in name resolution", "DNS does not answer"),
    (
        "verify error",
        "its certificate is not trusted: {detail}; the pod may carry trust anchors from before a rotation",
    ),
    ("Connection refused", "it refuses connections; it may be starting or not ready"),
    ("No route to host", "there is no route to it"),
    ("Network is unreachable", "there is no route to it"),
    ("Connection timed out", "it does not answer"),
    ("alert", "the TLS handshake failed: {detail}"),
)
"""What openssl writes, and what it means to a person. The first that occurs counts."""


class NotIssuedError(Exception):
    """No certificate this time; the message is a sentence for the log."""


def attempt(settings: Settings, trust_anchors: str) -> bytes:
    """`obtain`, with its outcome in bytes for the agent."""
    try:
        return obtain(settings, trust_anchors).encode()
    except NotIssuedError as error:
        return refused(str(error))


def obtain(settings: Settings, trust_anchors: str) -> Issued:
    """Keep for Envoy a certificate of the service that `trust_anchors` vouch for; NotIssuedError if there is none."""
    directory = settings.identity_dir
    try:
        os.makedirs(directory, exist_ok=True)
        write(f"{directory}/{TRUST_ANCHORS_FILE}", trust_anchors, mode=0o644)
        key, request = make_request(settings)
        answer = _ask(settings, request, _token(settings))
        held = look(settings.envoy_admin_port, settings.trust_domain)
        issued = Issued(
            issued_at=time.time(),
            expires_at=_expiry(answer),
            trust_anchors=together(answer["trust_anchors"] or trust_anchors, held.roots),
            issuer=_issuer(answer),
        )
        write(f"{directory}/{TRUST_ANCHORS_FILE}", issued.trust_anchors, mode=0o644)
        write(f"{directory}/{ROOTS_FILE}", json.dumps(roots_secret(issued.trust_anchors)), mode=0o644)
        write(settings.bootstrap_file, json.dumps(envoy_configuration(settings)), mode=0o644)
        write(f"{directory}/{names.CERTIFICATE_FILE}", answer["certificate"], mode=0o644)
        write(f"{directory}/{WORKLOAD_FILE}", json.dumps(workload_secret(answer["certificate"], key)), mode=0o600)
    except programs.ProgramError as error:
        raise NotIssuedError(f"{_identity(settings)} gave no certificate: {error}") from error
    except OSError as error:
        raise NotIssuedError(f"{error.filename or directory} cannot be used: {error.strerror}") from error
    return issued


def envoy_configuration(settings: Settings) -> dict[str, Any]:
    """What Envoy is started with in this pod."""
    return bootstrap(
        node_id=f"{settings.pod}.{settings.namespace}",
        cluster_domain=settings.cluster_domain,
        destination_host=settings.destination[0],
        destination_port=settings.destination[1],
        destination_spiffe_id=settings.destination_spiffe_id,
        trust_domain=settings.trust_domain,
        secrets_socket=f"{settings.identity_dir}/{SECRETS_SOCKET}",
        admin_port=settings.envoy_admin_port,
        collector=settings.collector,
    )


def make_request(settings: Settings) -> tuple[str, str]:
    """A new P-256 key and a request for the pod's own identity, both PEM. The key has not touched a file."""
    alternatives = f"subjectAltName=critical,URI:{settings.spiffe_id},DNS:{settings.identity_name}"
    made = programs.run(
        (
            *(OPENSSL, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", "/", "-addext", alternatives, "-keyout", "-", "-out", "-"),
        ),
        timeout=LOCAL_SECONDS,
    )
    key, end, request = made.output.decode("ascii", "replace").partition(_KEY_END)
    if made.code != 0 or not end or _KEY_START not in key:
        raise NotIssuedError(f"openssl made no key: {_last_line(made.errors)}")
    return key[key.index(_KEY_START) :] + end, request


def write(path: str, content: str, *, mode: int) -> None:
    """Replace the file by a rename: its reader sees the old or the new content, whole."""
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
    os.rename(temporary, path)


def _token(settings: Settings) -> str:
    with open(settings.token_file) as file:
        return file.read().strip()


def _ask(settings: Settings, request: str, token: str) -> dict[str, Any]:
    host, port = settings.identity
    body = json.dumps({"csr": request, "token": token}).encode()
    head = f"POST /certify HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    done = programs.run(_tls_client(settings), given=head.encode() + body, timeout=REQUEST_SECONDS)
    if not done.output:
        raise NotIssuedError(f"{_identity(settings)} cannot be asked: {explain(done.errors)}")
    status, answer = parse(done.output)
    if status == 200 and all(isinstance(answer.get(key), str) for key in ("certificate", "trust_anchors")):
        return answer
    said = answer.get("error") or "an answer that is not a certificate"
    raise NotIssuedError(f"{_identity(settings)} refused the certificate for {settings.spiffe_id} ({status}): {said}")


def _tls_client(settings: Settings) -> tuple[str, ...]:
    host = settings.identity[0]
    address, port = settings.identity_dial
    return (
        *(OPENSSL, "s_client", "-quiet", "-nocommands", "-tls1_3", "-connect", f"{address}:{port}"),
        *("-servername", host, "-verify_hostname", host, "-verify_return_error", "-verify", "5"),
        # Without the last two, the authorities that the image trusts would be trusted too.
        *("-CAfile", f"{settings.identity_dir}/{TRUST_ANCHORS_FILE}", "-no-CApath", "-no-CAstore"),
    )


def parse(answer: bytes) -> tuple[int, dict[str, Any]]:
    """Status and JSON body of an HTTP/1.1 answer; NotIssuedError when it is neither."""
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split()
    try:
        status = int(words[1])
        content = json.loads(body)
    except (IndexError, ValueError):
        raise NotIssuedError("the identity service sent an answer that cannot be read") from None
    return status, content if isinstance(content, dict) else {}


def explain(errors: bytes) -> str:
    """What openssl's complaints mean."""
    text = errors.decode("utf-8", "replace")
    for mark, meaning in _CAUSES:
        for line in text.splitlines():
            if mark in line:
                return meaning.format(detail=line.rpartition(":")[2].strip())
    return _last_line(errors)


def _last_line(errors: bytes) -> str:
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"


def _expiry(answer: dict[str, Any]) -> float:
    try:
        return calendar.timegm(time.strptime(str(answer.get("expires_at")), "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        raise NotIssuedError("the identity service does not say when the certificate expires") from None


def _issuer(answer: dict[str, Any]) -> str:
    issuer = str(answer.get("issuer") or "")
    return issuer if issuer.isalnum() else ""


def _identity(settings: Settings) -> str:
    return f"the identity service {settings.identity[0]}:{settings.identity[1]}"
