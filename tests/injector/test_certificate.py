"""The webhook's certificate: what the API server believes, and until when."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from isthmus.injector.certificate import LIFETIME, shown
from isthmus.kube import pki

HOST = "linkerd-proxy-injector.linkerd.svc"
HOSTS = [HOST, f"{HOST}.cluster.local"]
MADE = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORITY = pki.make_root("authority", only_for=HOSTS, now=MADE)
NOW = MADE + timedelta(days=100)


def believed(pair: pki.KeyPair, host: str, now: datetime) -> bool:
    """Whether a client that trusts the authority, and nothing else, would talk to this host."""
    (root,), (leaf,) = pki.load_certificates(AUTHORITY.cert_pem), pki.load_certificates(pair.cert_pem)
    verifier = PolicyBuilder().store(Store([root])).time(now).build_server_verifier(x509.DNSName(host))
    try:
        verifier.verify(leaf, [])
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize("host", HOSTS)
def test_what_is_shown_is_believed_until_long_after_another_is_made(host: str) -> None:
    pair, renew_at = shown(AUTHORITY, NOW)
    assert renew_at is not None
    assert all(believed(pair, host, when) for when in (NOW - timedelta(hours=20), NOW, renew_at + timedelta(days=7)))
    assert not believed(pair, host, NOW + LIFETIME + timedelta(seconds=1))


def test_the_authority_can_vouch_for_nobody_else() -> None:
    assert not believed(pki.make_server_certificate(AUTHORITY, dns_names=["kubernetes.default.svc"], now=NOW),
                        "kubernetes.default.svc", NOW)  # fmt: skip


def test_a_certificate_that_somebody_else_made_is_shown_as_it_is() -> None:
    for mounted in (
        pki.make_server_certificate(AUTHORITY, dns_names=[HOST], now=NOW),
        pki.make_root("a server that signed its own certificate, as openssl makes them"),
    ):
        assert shown(mounted, NOW) == (mounted, None)


def test_in_the_end_nothing_outlives_the_authority() -> None:
    (root,) = pki.load_certificates(AUTHORITY.cert_pem)
    last = root.not_valid_after_utc - timedelta(hours=1)
    pair, renew_at = shown(AUTHORITY, last)
    assert believed(pair, HOST, last)
    assert pki.describe(pair.cert_pem)[0].not_after <= root.not_valid_after_utc
    assert renew_at is not None
    assert shown(AUTHORITY, root.not_valid_after_utc) == (AUTHORITY, None)
