"""How a trust domain that is named after its first root stays provable when that root is gone. Pure.

At each rotation the issuer of the day endorses the new root: it signs a certificate of the new root's key whose only
name is the trust domain itself. Identity never signs that name for a workload. Who knows the first root by the domain's
name can follow the endorsements to today's. They are statements, not credentials, and do not expire.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from isthmus.kube import pki

LIFETIME: Final = timedelta(days=1)


def endorse(
    root: x509.Certificate,
    trust_domain: str,
    *,
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    now: datetime,
) -> x509.Certificate:
    """The issuer's word that a root's key speaks for the trust domain."""
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + LIFETIME)
        .public_key(root.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_name(trust_domain), critical=True)
        .sign(key, hashes.SHA256())
    )


def proven(lineage: Sequence[x509.Certificate], trust_domain: str, first: str) -> frozenset[str]:
    """SHA-256 of the keys that follow, by endorsements, from the one whose digest begins with `first`."""
    believed = [each for each in lineage if pki.may_sign(each) and key_digest(each).startswith(first)]
    rest = [each for each in lineage if each not in believed]
    found = {key_digest(each) for each in believed}
    while True:
        new = [
            each
            for each in rest
            if (_endorses(each, trust_domain) or pki.may_sign(each)) and any(_signed(each, above) for above in believed)
        ]
        if not new:
            return frozenset(found)
        for each in new:
            rest.remove(each)
            if pki.may_sign(each):
                believed.append(each)
            else:
                digest = key_digest(each)
                found.add(digest)
                roots = [other for other in rest if pki.may_sign(other) and key_digest(other) == digest]
                believed.extend(roots)


def key_digest(certificate: x509.Certificate) -> str:
    """SHA-256 of the public key; "" when it cannot be read."""
    try:
        key = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except pki.UNREADABLE:
        return ""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key)
    return digest.finalize().hex()


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    return certificate != authority and pki.signed_by(certificate, authority)


def _name(trust_domain: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")])


def _endorses(certificate: x509.Certificate, trust_domain: str) -> bool:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names == _name(trust_domain) and not pki.may_sign(certificate)
    except (x509.ExtensionNotFound, *pki.UNREADABLE):
        return False
