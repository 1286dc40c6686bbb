"""What a gateway's certificate says about who is there, and what two clocks say of each other."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from isthmus import names
from isthmus.identity import ca
from isthmus.identity.issuer import load_issuer
from isthmus.kube import pki
from isthmus.mesh.model import Identity
from isthmus.multicluster import handshake
from isthmus.multicluster.pulse import needs, steady

from .values import link

GATEWAY = Identity("east.example", "linkerd-multicluster", "linkerd-gateway")
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def shown() -> x509.Certificate:
    root = pki.make_root("east", now=NOW)
    issuer = pki.make_issuer(root, common_name="issuer", now=NOW)
    signer = load_issuer(cert_pem=issuer.cert_pem, key_pem=issuer.key_pem, roots_pem=root.cert_pem, now=NOW)
    subject = ca.workload_names(GATEWAY)
    leaf = ca.issue(pki.make_key().public_key(), subject, issuer=signer, now=NOW, validity=ca.Validity())
    return pki.load_certificates(leaf.chain_pem)[0]


def refused(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError()
    error.verify_code = code
    return error


def reason(shown: x509.Certificate | None, code: int = 0, *, expected: str = GATEWAY.spiffe_id) -> str:
    found = handshake.judge(shown, refused(code) if code else None, expected=expected)
    return found.reason if found else ""


def test_the_gateway_that_a_link_names_is_told_from_every_other_server(shown: x509.Certificate) -> None:
    other = names.spiffe_id("east.example", "linkerd-multicluster", "other")
    assert reason(shown) == ""
    assert reason(shown, expected=other) == "WrongIdentity"
    assert reason(shown, 20) == "Untrusted"
    assert reason(shown, 10) == "CertificateExpired"
    assert reason(shown, 9) == "CertificateNotYetValid"
    assert reason(None) == "NotAGateway"
    nobody = pki.load_certificates(pki.make_root("no workload").cert_pem)[0]
    assert reason(nobody) == "NotAGateway"


def test_a_certificate_with_one_extension_twice_is_nobodys(shown: x509.Certificate) -> None:
    key_usage, other = bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d25")
    twice = shown.public_bytes(Encoding.DER).replace(key_usage, other)
    assert twice != shown.public_bytes(Encoding.DER)
    assert reason(x509.load_der_x509_certificate(twice), 20) == "NotAGateway"


def test_who_refuses_a_connection_is_told_from_who_shows_nothing() -> None:
    found = handshake.judge(None, None, expected="")
    assert found is not None
    assert "no workload's" in found.seen


@pytest.mark.parametrize(
    ("known", "found", "told"),
    [(0, 19, 0), (0, -19, 0), (0, 21.4, 21), (300, 302, 300), (300, 310, 310), (300, 0, 0), (0, -300, -300)],
)
def test_clocks_are_told_apart_when_certificates_would_notice_and_not_at_every_second(
    known: float, found: float, told: float
) -> None:
    assert steady(timedelta(seconds=known), timedelta(seconds=found)) == timedelta(seconds=told)


def test_permissions_for_endpoints_are_asked_for_only_where_some_are_followed() -> None:
    few, all_of_them = needs(link(), endpoints=False), needs(link(), endpoints=True)
    assert not any("endpointslices" in str(need) for need in few)
    assert any(str(need) == "watch endpointslices" for need in all_of_them)
    assert str(few[-1]) == "watch configmaps linkerd-identity-trust-roots in namespace linkerd"
