"""The rules by which a workload's certificate request is signed or refused. Does no I/O and reads no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from isthmus.identity.issuer import Issuer
from isthmus.kube import pki
from isthmus.mesh.model import Identity

MAX_REQUEST_BYTES: Final = 8192
"""A request for an RSA 4096 key is 2 KB."""
RSA_BITS: Final = range(2048, 8193)


class Refusal(Exception):
    """A request that is not signed. `reason` is a word for metrics; the message is a sentence for a person."""

    def __init__(self, reason: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class Leaf:
    """A signed certificate followed by its intermediates (PEM)."""

    chain_pem: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Validity:
    """How long leaves live, and how far a peer's clock may be behind."""

    lifetime: timedelta = timedelta(hours=24)
    clock_skew: timedelta = pki.CLOCK_SKEW


def sign(request_pem: str, identity: Identity, *, issuer: Issuer, now: datetime, validity: Validity) -> Leaf:
    """Sign the request if it asks for exactly `identity`; Refusal says why it is not signed.

    Nothing but the public key is taken from the request.
    """
    key = _checked_key(request_pem, identity)
    return issue(key, workload_names(identity), issuer=issuer, now=now, validity=validity)


def issue(
    key: CertificatePublicKeyTypes,
    alternative_names: Sequence[x509.GeneralName],
    *,
    issuer: Issuer,
    now: datetime,
    validity: Validity,
) -> Leaf:
    """A leaf for a key and names that the caller has checked. It never outlives its issuer."""
    not_before = now - validity.clock_skew
    not_after = min(now + validity.lifetime, issuer.not_after)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.certificate.subject)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .public_key(key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(pki.DIGITAL_SIGNATURE_ONLY, critical=True)
        .add_extension(pki.SERVER_AND_CLIENT, critical=False)
        # RFC 5280, 4.2.1.6: critical, because the subject is empty.
        .add_extension(x509.SubjectAlternativeName(alternative_names), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    chain = "".join(pki.certificate_pem(each) for each in (certificate, *issuer.chain))
    return Leaf(chain_pem=chain, not_before=not_before, not_after=not_after)


def workload_names(identity: Identity) -> list[x509.GeneralName]:
    """The two names in a workload certificate."""
    return [x509.UniformResourceIdentifier(identity.spiffe_id), x509.DNSName(identity.dns_name)]


def _checked_key(request_pem: str, identity: Identity) -> CertificatePublicKeyTypes:
    """The key of a request that passed every check.

    A request is untrusted input read by a parser that is lazy: every access may fail, and any failure is a refusal.
    """
    if len(request_pem) > MAX_REQUEST_BYTES:
        raise Refusal("too_large", f"the certificate request is larger than {MAX_REQUEST_BYTES} bytes")
    try:
        request = x509.load_pem_x509_csr(request_pem.encode())
        key = request.public_key()
        signed = request.is_signature_valid
        extensions = list(request.extensions)
    except pki.UNREADABLE as error:
        raise Refusal("unreadable", "the certificate request is not a readable PEM PKCS #10 request") from error
    if not signed:
        raise Refusal("bad_signature", "the certificate request is not signed by the key that it names")
    _check_key(key)
    _check_extensions(extensions, identity)
    return key


def _check_key(key: object) -> None:
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in RSA_BITS:
        return
    raise Refusal("bad_key", "the key must be ECDSA P-256 or P-384, or RSA of at least 2048 bits")


def _check_extensions(extensions: Sequence[x509.Extension[x509.ExtensionType]], identity: Identity) -> None:
    asked: list[x509.GeneralName] = []
    for extension in extensions:
        if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
            raise Refusal("asks_for_ca", "the certificate request asks for a CA certificate", status=403)
        if isinstance(extension.value, x509.SubjectAlternativeName):
            asked = list(extension.value)
    if set(asked) != set(workload_names(identity)):
        raise Refusal(
            "other_identity",
            f"the token speaks for {identity.spiffe_id}, but the certificate request asks for {_readable(asked)}",
            status=403,
        )


def _readable(asked: Sequence[x509.GeneralName]) -> str:
    return ", ".join(str(name.value)[:300] for name in asked[:4]) or "no name at all"
