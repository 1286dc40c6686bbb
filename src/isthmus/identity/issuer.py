"""The issuer: the authority's certificate and key, checked before they sign anything. Does no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from isthmus.kube import pki
from isthmus.kube.pki import CertificateError

SigningKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

MAX_CHAIN: Final = 5


@dataclass(frozen=True, slots=True)
class Issuer:
    """An authority that passed every check.

    `chain` is what its leaves are sent with: its own certificate and those above it, without the root.
    """

    certificate: x509.Certificate
    key: SigningKey = field(repr=False)
    chain: tuple[x509.Certificate, ...]
    trust_anchors: str

    @property
    def name(self) -> str:
        """What tells this issuer from the one before and after it; nobody needs to know how it is made."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()[:32]

    @property
    def not_after(self) -> datetime:
        """When the first certificate of the chain expires: nothing it signs can be valid longer."""
        return min(certificate.not_valid_after_utc for certificate in (self.certificate, *self.chain))


def load_issuer(*, cert_pem: str, key_pem: str, roots_pem: str, now: datetime) -> Issuer:
    """Check that the issuer can sign certificates that the mesh will accept; CertificateError says why it cannot."""
    certificates = _certificates(cert_pem, what="the issuer certificate (tls.crt)")
    roots = _certificates(roots_pem, what="the trust roots (ca-bundle.crt)")
    key = _signing_key(key_pem)
    if key.public_key() != certificates[0].public_key():
        raise CertificateError("the issuer key (tls.key) does not belong to the issuer certificate (tls.crt)")
    chain = _chain(certificates, roots)
    for certificate in (certificates[0], *chain):
        _check_authority(certificate, now)
    return Issuer(certificate=certificates[0], key=key, chain=chain, trust_anchors=roots_pem)


def _certificates(pem: str, *, what: str) -> list[x509.Certificate]:
    try:
        return pki.load_certificates(pem)
    except CertificateError as error:
        raise CertificateError(f"{what} cannot be used: {error}") from error


def _signing_key(key_pem: str) -> SigningKey:
    try:
        key = serialization.load_pem_private_key(key_pem.encode(), None)
    except (ValueError, TypeError) as error:
        raise CertificateError("the issuer key (tls.key) is not a readable unencrypted PEM private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError("the issuer key (tls.key) must be an elliptic-curve or RSA key")
    return key


def _check_authority(certificate: x509.Certificate, now: datetime) -> None:
    subject = f"the issuer certificate (tls.crt: {certificate.subject.rfc4514_string()})"
    if not pki.may_sign(certificate):
        raise CertificateError(f"{subject} may not sign certificates: it is not a CA certificate")
    if now > certificate.not_valid_after_utc:
        raise CertificateError(f"{subject} expired at {certificate.not_valid_after_utc:%FT%TZ}; install a new issuer")
    if now < certificate.not_valid_before_utc:
        raise CertificateError(f"{subject} is not valid before {certificate.not_valid_before_utc:%FT%TZ}")


def _chain(certificates: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The way from the issuer up to, and without, a root. Empty when the issuer is itself a root."""
    chain: list[x509.Certificate] = []
    current = certificates[0]
    while current not in roots and len(chain) < MAX_CHAIN:
        chain.append(current)
        if any(_signed_by(current, root) for root in roots):
            return tuple(chain)
        above = [other for other in certificates if other not in chain and _signed_by(current, other)]
        if not above:
            break
        current = above[0]
    if current in roots:
        return tuple(chain)
    raise CertificateError(
        "the issuer certificate (tls.crt) does not lead to any of the trust roots (ca-bundle.crt): "
        "it was signed by another root, or an intermediate is missing from tls.crt"
    )


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
