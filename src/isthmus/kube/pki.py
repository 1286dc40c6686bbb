"""Keys and certificates made by the command line and by control-plane processes: roots, issuers, servers, requests.

Everything is ECDSA P-256. PEM goes in and comes out as text, so that callers need not know the crypto library.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT_LIFETIME: Final = timedelta(days=3650)
ISSUER_LIFETIME: Final = timedelta(days=365)
SERVER_LIFETIME: Final = timedelta(days=365)
CLOCK_SKEW: Final = timedelta(seconds=20)
"""How far the clocks of two machines may be apart: every certificate is valid from this much before it was made."""

DIGITAL_SIGNATURE_ONLY: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
"""Envoy's SPIFFE validator refuses a leaf that has no KeyUsage at all, and one that may sign."""
SIGNING_ONLY: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
SERVER_AND_CLIENT: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])

UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises over a certificate that another party made: most of it is no ValueError, and some of it
comes only when a key or an extension is looked at."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate (PEM, possibly followed by its intermediates) and its private key (PEM, PKCS #8)."""

    cert_pem: str
    key_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CertificateInfo:
    """What a person wants to know of a certificate."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    dns_names: tuple[str, ...]
    uris: tuple[str, ...]
    fingerprint: str


class CertificateError(Exception):
    """A certificate or key that cannot be used; the message is a sentence for a person."""


def make_root(
    common_name: str,
    lifetime: timedelta = ROOT_LIFETIME,
    *,
    now: datetime | None = None,
    key: ec.EllipticCurvePrivateKey | None = None,
    only_for: Sequence[str] = (),
) -> KeyPair:
    """A new self-signed root; with `only_for`, one that can vouch for these DNS names and for nothing else."""
    key = key or make_key()
    name = common_name_of(common_name)
    builder = (
        _builder(name, name, lifetime, now=now)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if only_for else None), critical=True)
        .add_extension(SIGNING_ONLY, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if only_for:
        permitted = x509.NameConstraints([x509.DNSName(host) for host in only_for], excluded_subtrees=None)
        builder = builder.add_extension(permitted, critical=True)
    return KeyPair(certificate_pem(builder.sign(key, hashes.SHA256())), key_pem(key))


def make_issuer(
    root: KeyPair, *, common_name: str, lifetime: timedelta = ISSUER_LIFETIME, now: datetime | None = None
) -> KeyPair:
    """An intermediate, signed by `root`, that may sign leaves and no further authorities."""
    key = make_key()
    certificate = (
        _signed_builder(root, common_name, lifetime, now=now)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(SIGNING_ONLY, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(_signing_key(root), hashes.SHA256())
    )
    return KeyPair(certificate_pem(certificate), key_pem(key))


def make_server_certificate(
    root: KeyPair, *, dns_names: Sequence[str], lifetime: timedelta = SERVER_LIFETIME, now: datetime | None = None
) -> KeyPair:
    """A TLS server's leaf for `dns_names`, signed by `root` (for a webhook: a root made for it alone)."""
    key = make_key()
    certificate = (
        _signed_builder(root, dns_names[0][:64], lifetime, now=now)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(DIGITAL_SIGNATURE_ONLY, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(_signing_key(root), hashes.SHA256())
    )
    return KeyPair(certificate_pem(certificate), key_pem(key))


def make_request(key: ec.EllipticCurvePrivateKey, *, uris: Iterable[str], dns_names: Iterable[str]) -> str:
    """A certificate request (PEM) for exactly these names."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    names += [x509.DNSName(name) for name in dns_names]
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(serialization.Encoding.PEM).decode()


def trust_domain(root_pem: str, cluster_domain: str) -> str:
    """The trust domain an installation gets when none was given: derived from its root's key.

    Two installations with roots of their own are thereby two domains, and one's authority can never vouch for the
    other's workloads. Of several roots the first counts.
    """
    public_key = load_certificates(root_pem)[0].public_key()
    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"root-{hashlib.sha256(der).hexdigest()[:16]}.{cluster_domain}"


def describe(pem: str) -> list[CertificateInfo]:
    """Every certificate in `pem`, in its order."""
    return [_info(certificate) for certificate in load_certificates(pem)]


def load_certificates(pem: str) -> list[x509.Certificate]:
    """The certificates in `pem`, at least one."""
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except UNREADABLE as error:
        raise CertificateError("it holds no readable PEM certificate") from error


def fingerprint(certificate: x509.Certificate) -> str:
    """What tells certificates apart, short enough to be read aloud: the first half of the SHA-256."""
    return certificate.fingerprint(hashes.SHA256()).hex()[:32]


def signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether the authority's key signed the certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def leads_to(chain_pem: str, roots: Sequence[x509.Certificate]) -> bool:
    """Whether a leaf, followed by its intermediates, was signed, step by step, by one of the roots."""
    try:
        current, *others = load_certificates(chain_pem)
    except CertificateError:
        return False
    while not any(signed_by(current, root) for root in roots):
        above = next((other for other in others if signed_by(current, other)), None)
        if above is None:
            return False
        others.remove(above)
        current = above
    return True


def make_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def certificate_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def common_name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _signed_builder(
    signer: KeyPair, common_name: str, lifetime: timedelta, *, now: datetime | None
) -> x509.CertificateBuilder:
    certificate = load_certificates(signer.cert_pem)[0]
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(_signing_key(signer).public_key())
    builder = _builder(common_name_of(common_name), certificate.subject, lifetime, now=now)
    return builder.add_extension(authority, critical=False)


def _builder(
    subject: x509.Name, issuer: x509.Name, lifetime: timedelta, *, now: datetime | None
) -> x509.CertificateBuilder:
    start = now or datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - CLOCK_SKEW)
        .not_valid_after(start + lifetime)
    )


def _signing_key(pair: KeyPair) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pair.key_pem.encode(), None)
    except (ValueError, TypeError) as error:
        raise CertificateError("the signing key is not a readable unencrypted PEM private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the signing key is not an elliptic-curve key")
    return key


def _info(certificate: x509.Certificate) -> CertificateInfo:
    dns_names, uris = _alternative_names(certificate)
    return CertificateInfo(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        dns_names=dns_names,
        uris=uris,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def may_sign(certificate: x509.Certificate) -> bool:
    """Whether the certificate is an authority: CA:TRUE and, where it has a KeyUsage, one that signs certificates."""
    try:
        if not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as missing:
        return missing.oid == x509.KeyUsage.oid
    except UNREADABLE:
        return False


def _alternative_names(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    dns = names.get_values_for_type(x509.DNSName)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return tuple(dns), tuple(uris)
