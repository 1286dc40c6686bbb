"""What a workload gets signed, and what it does not."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.identity import ca
from isthmus.identity.issuer import Issuer, load_issuer
from isthmus.kube import pki
from isthmus.mesh.model import Identity

NOW = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=10)
"""Well within the life of certificates that the tests make later, however long their collection takes."""
IDENTITY = Identity("td.example", "shop", "web")
DNS = "web.shop.serviceaccount.identity.linkerd.td.example"


@pytest.fixture(scope="module")
def issuer(authorities) -> Issuer:
    files = authorities.files
    return load_issuer(cert_pem=files["tls.crt"], key_pem=files["tls.key"], roots_pem=files["ca-bundle.crt"], now=NOW)


def sign(request: str, issuer: Issuer, *, now: datetime = NOW, validity: ca.Validity | None = None) -> ca.Leaf:
    return ca.sign(request, IDENTITY, issuer=issuer, now=now, validity=validity or ca.Validity())


def request_for(uris=(IDENTITY.spiffe_id,), dns_names=(DNS,)) -> str:
    return pki.make_request(pki.make_key(), uris=uris, dns_names=dns_names)


def custom_request(key, *extensions: x509.ExtensionType, names=None) -> str:
    names = names or [x509.UniformResourceIdentifier(IDENTITY.spiffe_id), x509.DNSName(DNS)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    for extension in (x509.SubjectAlternativeName(names), *extensions):
        builder = builder.add_extension(extension, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM).decode()


def test_leaf_is_what_envoys_spiffe_validator_accepts(issuer):
    leaf = x509.load_pem_x509_certificate(sign(request_for(), issuer).chain_pem.encode())
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert not usage.crl_sign
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(IDENTITY.spiffe_id), x509.DNSName(DNS)]


def test_chain_leads_to_the_root(issuer, authorities):
    leaf, *intermediates = x509.load_pem_x509_certificates(sign(request_for(), issuer).chain_pem.encode())
    store = Store([x509.load_pem_x509_certificate(authorities.root.cert_pem.encode())])
    verifier = PolicyBuilder().store(store).time(NOW).build_client_verifier()
    assert len(verifier.verify(leaf, intermediates).chain) == 3


def test_leaf_lives_as_long_as_asked_and_tolerates_clock_skew(issuer):
    validity = ca.Validity(lifetime=timedelta(hours=2), clock_skew=timedelta(seconds=45))
    leaf = x509.load_pem_x509_certificate(sign(request_for(), issuer, validity=validity).chain_pem.encode())
    assert leaf.not_valid_before_utc == NOW - timedelta(seconds=45)
    assert leaf.not_valid_after_utc == NOW + timedelta(hours=2)


def test_leaf_never_outlives_its_issuer(issuer):
    late = issuer.not_after - timedelta(hours=1)
    assert sign(request_for(), issuer, now=late).not_after == issuer.not_after


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_elliptic_curve_keys_are_signed(issuer, curve):
    assert sign(custom_request(ec.generate_private_key(curve)), issuer).chain_pem


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["small RSA", "P-521", "Ed25519"],
)
def test_other_keys_are_refused(issuer, key):
    with pytest.raises(ca.Refusal, match="the key must be ECDSA P-256 or P-384") as refused:
        sign(custom_request(key), issuer)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("uris", "dns_names"),
    [
        (["spiffe://td.example/ns/shop/sa/admin"], [DNS]),
        (["spiffe://other.example/ns/shop/sa/web"], [DNS]),
        ([IDENTITY.spiffe_id], ["linkerd-identity.linkerd.svc.cluster.local"]),
        ([IDENTITY.spiffe_id], []),
        ([IDENTITY.spiffe_id, "spiffe://td.example/ns/linkerd/sa/linkerd-destination"], [DNS]),
        ([IDENTITY.spiffe_id], [DNS, "kubernetes.default.svc"]),
    ],
)
def test_no_names_but_the_accounts_own(issuer, uris, dns_names):
    with pytest.raises(ca.Refusal, match=r"the token speaks for spiffe://td\.example/ns/shop/sa/web, but") as refused:
        sign(request_for(uris, dns_names), issuer)
    assert refused.value.status == 403


def test_a_request_without_names_is_refused(issuer):
    key = pki.make_key()
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    with pytest.raises(ca.Refusal, match="asks for no name at all"):
        sign(request.public_bytes(serialization.Encoding.PEM).decode(), issuer)


def test_a_request_for_a_kind_of_name_that_nobody_reads_is_refused_in_words(issuer):
    name = x509.UnrecognizedExtension(x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes.fromhex("3004a3020500"))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(name, critical=False)
    request = builder.sign(pki.make_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(ca.Refusal, match="not a readable PEM"):
        sign(request, issuer)


def test_a_request_for_a_ca_is_refused(issuer):
    with pytest.raises(ca.Refusal, match="asks for a CA certificate") as refused:
        sign(custom_request(pki.make_key(), x509.BasicConstraints(ca=True, path_length=None)), issuer)
    assert refused.value.status == 403


def test_a_request_signed_by_another_key_is_refused(issuer):
    request = x509.load_pem_x509_csr(request_for().encode())
    broken = bytearray(request.public_bytes(serialization.Encoding.DER))
    broken[-1] ^= 1
    pem = x509.load_der_x509_csr(bytes(broken)).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(ca.Refusal, match="not signed by the key"):
        sign(pem, issuer)


def test_a_huge_request_is_refused_before_it_is_parsed(issuer):
    with pytest.raises(ca.Refusal, match="larger than 8192 bytes"):
        sign(request_for() + "x" * 9000, issuer)


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=200))
def test_arbitrary_text_is_refused_in_words(issuer, text):
    with pytest.raises(ca.Refusal, match="not a readable PEM"):
        sign(text, issuer)


SAMPLE = x509.load_pem_x509_csr(request_for().encode()).public_bytes(serialization.Encoding.DER)


@settings(max_examples=300, deadline=None)
@given(
    position=st.integers(0, len(SAMPLE) - 1),
    value=st.integers(1, 255),
    cut=st.one_of(st.none(), st.integers(0, len(SAMPLE))),
)
def test_a_damaged_request_is_refused_in_words(issuer, position, value, cut):
    damaged = bytearray(SAMPLE)
    damaged[position] ^= value
    with pytest.raises(ca.Refusal) as refused:
        sign(_pem(bytes(damaged[:cut])), issuer)
    assert str(refused.value)


def _pem(der: bytes) -> str:
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{base64.b64encode(der).decode()}\n-----END CERTIFICATE REQUEST-----\n"
