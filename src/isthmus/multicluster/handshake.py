"""Greets a gateway as its clients do, to find out why it does not answer: who is there, if anybody?

A proxy that cannot connect says little about it. This process connects itself, through its own proxy but not by means
of it: the proxy passes on the bytes, and what ends the connection, and how soon, tells what is at the other end.
"""

import asyncio
import ssl
import time
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from isthmus import names
from isthmus.kube import pki

LIMIT: Final = 2.5
"""Seconds in which a gateway that is there has shown its certificate, on any network that is worth linking."""
AT_ONCE: Final = 0.8
"""A connection that ends sooner was refused; packets that are dropped take longer to be given up."""
_EXPIRED, _NOT_YET = 10, 9
"""OpenSSL's numbers."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with an address: a reason of the condition `GatewayAlive`, and what was seen there."""

    reason: str
    seen: str


async def examine(host: str, port: int, *, expected: str, roots: str) -> Finding | None:
    """What is wrong at this address; None if exactly the expected gateway shows itself.

    `expected` is its SPIFFE ID, `roots` vouch for it; "" where they are not known.
    """
    began = time.monotonic()
    try:
        shown = await _certificate(host, port, roots)
        refused = None
    except ssl.SSLCertVerificationError as error:
        refused = error
        try:
            shown = await _certificate(host, port, "")
        except (OSError, TimeoutError):
            return Finding("Untrusted", f"shows a certificate that is not trusted ({error.verify_message})")
    except TimeoutError:
        return Finding("Blocked", f"does not answer within {LIMIT:g} s")
    except ssl.SSLError as error:
        return Finding("NotAGateway", f"does not speak TLS as a gateway does ({_words(error)})")
    except OSError as error:
        if time.monotonic() - began < AT_ONCE:
            return Finding("Down", f"refuses the connection ({_words(error)})")
        return Finding("Blocked", "lets nobody connect, and does not refuse either")
    return judge(shown, refused, expected=expected)


def judge(
    certificate: x509.Certificate | None, refused: ssl.SSLCertVerificationError | None, *, expected: str
) -> Finding | None:
    """What a certificate says about who is there; `refused` is why the roots do not vouch for it."""
    who = identity(certificate) if certificate else ""
    if certificate is None or not who:
        return Finding("NotAGateway", "shows a certificate that is no workload's of a mesh")
    if refused is not None and refused.verify_code == _EXPIRED:
        return Finding(
            "CertificateExpired", f"shows a certificate that expired at {certificate.not_valid_after_utc:%FT%TZ}"
        )
    if refused is not None and refused.verify_code == _NOT_YET:
        since = f"{certificate.not_valid_before_utc:%FT%TZ}"
        return Finding("CertificateNotYetValid", f"shows a certificate that is valid only from {since}")
    if refused is not None:
        return Finding("Untrusted", f"shows a certificate of {who} that no accepted root vouches for")
    if expected and who != expected:
        return Finding("WrongIdentity", f"proves to be {who}, not {expected}")
    return None


def identity(certificate: x509.Certificate) -> str:
    """The SPIFFE ID in a certificate, "" without one."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *pki.UNREADABLE):
        return ""
    found = alternatives.get_values_for_type(x509.UniformResourceIdentifier)
    return next((uri for uri in found if uri.startswith("spiffe://")), "")


async def _certificate(host: str, port: int, roots: str) -> x509.Certificate | None:
    """The certificate that is shown there, verified against `roots` if there are any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    if roots:
        context.load_verify_locations(cadata=roots)
    else:
        context.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(LIMIT):
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=names.GATEWAY_SNI)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown) if shown else None
    except pki.UNREADABLE:
        return None
    finally:
        writer.transport.abort()


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
