"""The checks that look at certificates: the trust roots, the issuer, the webhook."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from isthmus import names
from isthmus.cli.control_plane import CONFIG_MAPS, SECRETS, WEBHOOKS, ControlPlane
from isthmus.cli.health import Category, Check, Problem
from isthmus.identity.rotation import Holding, fingerprints
from isthmus.kube import pki

SOON: Final = timedelta(days=60)
ROTATE_ROOT: Final = ": `linkerd rotate root | kubectl apply -f -` replaces root and issuer, in three steps"
UNRELATED: Final = (
    f": Secret {names.IDENTITY_ISSUER_SECRET} and ConfigMap {names.TRUST_ROOTS_CONFIG_MAP} do not belong together; put "
    "back the one that was changed last"
)
ROTATE_WEBHOOK: Final = ": run `linkerd rotate webhook | kubectl apply -f -`"
SKEW: Final = pki.CLOCK_SKEW
SHOWN: Final = 5
PATIENCE: Final = 15.0
"""Seconds in which proxies follow a change of roots or issuer."""


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
                description="clocks of the cluster and of this machine agree",
                anchor="l5d-identity-clock-skew",
                run=lambda: require_clock(plane),
                warning=True,
            ),
            Check(
                description="issuer cert is issued by the trust anchor",
                anchor="l5d-identity-issuer-cert-issued-by-trust-anchor",
                run=lambda: _require_chain(issuer(), roots(), UNRELATED),
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
        _require_valid(certificate(), "the injector's certificate", advice=ROTATE_WEBHOOK)
        where = f"the caBundle of {names.INJECTOR_WEBHOOK}"
        _require_chain(certificate(), _certificates(pem, where), ROTATE_WEBHOOK)

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
                run=lambda: _require_lasting(certificate(), "the injector's certificate", advice=ROTATE_WEBHOOK),
                warning=True,
            ),
        ],
    )


def data_plane(holdings: Callable[[], Sequence[Holding]], plane: ControlPlane) -> Category:
    """linkerd-identity-data-plane: what proxies hold fits what the control plane publishes. Asked in every pod."""

    def roots() -> list[x509.Certificate]:
        data = plane.client.get(CONFIG_MAPS, names.TRUST_ROOTS_CONFIG_MAP, plane.namespace).get("data", {})
        return _certificates(data.get(names.TRUST_ROOTS_KEY, ""), f"ConfigMap {names.TRUST_ROOTS_CONFIG_MAP}")

    return Category(
        "linkerd-identity-data-plane",
        [
            Check(
                description="data plane proxies certificate match CA",
                anchor="l5d-identity-data-plane-proxies-certs-match-ca",
                run=lambda: _require_matching(holdings(), roots(), datetime.now(UTC)),
                retryable=True,
                patience=PATIENCE,
            ),
        ],
    )


def _require_matching(holdings: Sequence[Holding], roots: Sequence[x509.Certificate], now: datetime) -> None:
    """Every proxy holds exactly the roots of the ConfigMap, and a certificate of theirs that is valid now."""
    problems = [f"{holding.pod} {problem}" for holding in holdings if (problem := unfit(holding, roots, now))]
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise Problem("\n".join([*problems[:SHOWN], *more]))


def unfit(holding: Holding, roots: Sequence[x509.Certificate], now: datetime) -> str:
    """What is wrong with what a proxy holds, "" if nothing is."""
    if holding.problem:
        return holding.problem
    leaf = pki.load_certificates(holding.certificate)[0]
    if now > leaf.not_valid_after_utc:
        return f"has a certificate that expired at {leaf.not_valid_after_utc:%FT%TZ}: the log of its proxy says why"
    if now + SKEW < leaf.not_valid_before_utc:
        return (
            f"has a certificate that is valid only from {leaf.not_valid_before_utc:%FT%TZ}: compare the clocks of this "
            "machine and of the cluster"
        )
    if not pki.leads_to(holding.certificate, roots):
        return f"has a certificate that no root of ConfigMap {names.TRUST_ROOTS_CONFIG_MAP} vouches for: delete the pod"
    wanted = frozenset(map(pki.fingerprint, roots))
    held = fingerprints(holding.roots)
    if lacking := wanted - held:
        return f"does not hold the root {min(lacking)} of ConfigMap {names.TRUST_ROOTS_CONFIG_MAP}"
    if superfluous := held - wanted:
        return f"holds the root {min(superfluous)}, which is not in ConfigMap {names.TRUST_ROOTS_CONFIG_MAP}"
    return ""


def require_clock(plane: ControlPlane, *, here: datetime | None = None) -> None:
    """Raises Problem when this machine and the API server disagree about the time: other checks go by this clock."""
    require_equal_clocks({"this machine": here or datetime.now(UTC), "the API server": plane.client.clock()})


def require_equal_clocks(clocks: Mapping[str, datetime], *, allowed: timedelta = SKEW) -> None:
    """Raises Problem when the clocks of two API servers, by cluster, are further apart than certificates bear."""
    for (one, first), (other, second) in combinations(sorted(clocks.items()), 2):
        apart = abs(first - second)
        if apart > allowed:
            ahead, behind = (one, other) if first > second else (other, one)
            raise Problem(
                f"the clock of {ahead} is {apart.total_seconds():.0f} s ahead of that of {behind}; certificates bear "
                f"{allowed.total_seconds():.0f} s: set the clocks of their nodes by NTP"
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
            run=lambda: _require_valid(load(), noun, advice=ROTATE_ROOT),
        ),
        Check(
            description=f"{what} valid for at least 60 days",
            anchor=f"{anchor}-not-expiring-soon",
            run=lambda: _require_lasting(load(), noun, advice=ROTATE_ROOT),
            warning=True,
        ),
    ]


def _require_algorithm(certificates: Sequence[x509.Certificate], noun: str) -> None:
    for certificate in certificates:
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in {"secp256r1", "secp384r1"}:
            raise Problem(f"{noun} {_subject(certificate)} must use ECDSA P-256 or P-384")


def _require_valid(
    certificates: Sequence[x509.Certificate], noun: str, *, advice: str = "", now: datetime | None = None
) -> None:
    now = now or datetime.now(UTC)
    for certificate in certificates:
        if now < certificate.not_valid_before_utc:
            raise Problem(
                f"{noun} {_subject(certificate)} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} "
                "UTC: compare the clocks of this machine and of the one that made it"
            )
        if now > certificate.not_valid_after_utc:
            when = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
            raise Problem(f"{noun} {_subject(certificate)} expired on {when}{advice}")


def _require_lasting(certificates: Sequence[x509.Certificate], noun: str, *, advice: str = "") -> None:
    for certificate in certificates:
        if certificate.not_valid_after_utc - datetime.now(UTC) < SOON:
            when = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
            raise Problem(f"{noun} {_subject(certificate)} expires on {when}{advice}")


def _require_chain(chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], advice: str) -> None:
    """Every link signed by the next, the last by one of the roots."""
    for certificate, signers in zip(chain, [*([signer] for signer in chain[1:]), roots], strict=True):
        if not any(pki.signed_by(certificate, signer) for signer in signers):
            raise Problem(f"{_subject(certificate)} is not signed by {' or '.join(map(_subject, signers))}{advice}")


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
