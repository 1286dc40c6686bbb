"""The checks that look at certificates: the trust roots, the issuer, the webhook."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from isthmus import names
from isthmus.cli.control_plane import CONFIG_MAPS, SECRETS, WEBHOOKS, ControlPlane
from isthmus.cli.health import Category, Check, Problem
from isthmus.kube import pki

SOON: Final = timedelta(days=60)


def identity(plane: ControlPlane) -> Category:
    """linkerd-identity: the roots and the issuer fit together and last."""

    def roots() -> list[x509.Certificate]:
        data = plane.client.get(CONFIG_MAPS, names.TRUST_ROOTS_CONFIG_MAP, plane.namespace).get("data", {})
        return _certificates(data.get(names.TRUST_ROOTS_KEY, ""), f"ConfigMap {names.TRUST_ROOTS_CONFIG_MAP}")

    def issuer() -> list[x509.Certificate]:
        return _from_secret(plane, names.IDENTITY_ISSUER_SECRET)

    def readable() -> None:
        roots()
        issuer()

    return Category(
        "linkerd-identity",
        [
            Check(
                description="certificate config is valid",
                anchor="l5d-identity-cert-config-valid",
                run=readable,
                fatal=True,
            ),
            *_lasting("trust anchors are", "l5d-identity-trustAnchors", roots, "the trust anchor"),
            *_lasting("issuer cert is", "l5d-identity-issuer-cert", lambda: issuer()[:1], "the issuer"),
            Check(
                description="issuer cert is issued by the trust anchor",
                anchor="l5d-identity-issuer-cert-issued-by-trust-anchor",
                run=lambda: _require_chain(issuer(), roots()),
            ),
        ],
    )


def webhook(plane: ControlPlane) -> Category:
    """linkerd-webhooks-and-apisvc-tls: the API server will accept the injector's certificate."""

    def certificate() -> list[x509.Certificate]:
        return _from_secret(plane, names.INJECTOR_TLS_SECRET)

    def chained() -> None:
        bundle = plane.client.get(WEBHOOKS, names.INJECTOR_WEBHOOK)["webhooks"][0]["clientConfig"].get("caBundle", "")
        pem = _decode(bundle, f"the caBundle of {names.INJECTOR_WEBHOOK}")
        _require_chain(certificate(), _certificates(pem, f"the caBundle of {names.INJECTOR_WEBHOOK}"))

    return Category(
        "linkerd-webhooks-and-apisvc-tls",
        [
            Check(
                description="proxy-injector webhook has valid cert",
                anchor="l5d-proxy-injector-webhook-cert-valid",
                run=chained,
            ),
            Check(
                description="proxy-injector cert is valid for at least 60 days",
                anchor="l5d-proxy-injector-webhook-cert-not-expiring-soon",
                run=lambda: _require_lasting(certificate(), "the injector's certificate"),
                warning=True,
            ),
        ],
    )


def _lasting(what: str, anchor: str, load: Callable[[], list[x509.Certificate]], noun: str) -> list[Check]:
    return [
        Check(
            description=f"{what} using supported crypto algorithm",
            anchor=f"{anchor}-use-supported-crypto",
            run=lambda: _require_algorithm(load(), noun),
        ),
        Check(
            description=f"{what} within {'their' if what.endswith('are') else 'its'} validity period",
            anchor=f"{anchor}-are-time-valid",
            run=lambda: _require_valid(load(), noun),
        ),
        Check(
            description=f"{what} valid for at least 60 days",
            anchor=f"{anchor}-not-expiring-soon",
            run=lambda: _require_lasting(load(), noun),
            warning=True,
        ),
    ]


def _require_algorithm(certificates: Sequence[x509.Certificate], noun: str) -> None:
    for certificate in certificates:
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in {"secp256r1", "secp384r1"}:
            raise Problem(f"{noun} {_subject(certificate)} must use ECDSA P-256 or P-384")


def _require_valid(certificates: Sequence[x509.Certificate], noun: str) -> None:
    now = datetime.now(UTC)
    for certificate in certificates:
        if now < certificate.not_valid_before_utc:
            raise Problem(
                f"{noun} {_subject(certificate)} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} "
                "UTC: compare the clocks of this machine and of the one that made it"
            )
        if now > certificate.not_valid_after_utc:
            raise Problem(f"{noun} {_subject(certificate)} expired on {certificate.not_valid_after_utc:%Y-%m-%d}")


def _require_lasting(certificates: Sequence[x509.Certificate], noun: str) -> None:
    for certificate in certificates:
        if certificate.not_valid_after_utc - datetime.now(UTC) < SOON:
            raise Problem(f"{noun} {_subject(certificate)} expires on {certificate.not_valid_after_utc:%Y-%m-%d}")


def _require_chain(chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> None:
    """Every link signed by the next, the last by one of the roots."""
    for certificate, signers in zip(chain, [*([signer] for signer in chain[1:]), roots], strict=True):
        if not any(_signed(certificate, signer) for signer in signers):
            raise Problem(f"{_subject(certificate)} is not signed by {' or '.join(map(_subject, signers))}")


def _signed(certificate: x509.Certificate, signer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _from_secret(plane: ControlPlane, name: str) -> list[x509.Certificate]:
    data = plane.client.get(SECRETS, name, plane.namespace).get("data", {})
    return _certificates(_decode(data.get("tls.crt", ""), f"Secret {name}"), f"Secret {name}")


def _certificates(pem: str, where: str) -> list[x509.Certificate]:
    try:
        return pki.load_certificates(pem)
    except pki.CertificateError as error:
        raise Problem(f"{where} cannot be used: {error}") from None


def _decode(text: str, where: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Problem(f"{where} is not base64 of PEM text") from None


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()
