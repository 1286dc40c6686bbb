"""An issuer that cannot serve the mesh is found before it signs anything."""

from datetime import UTC, datetime, timedelta

import pytest

from isthmus.identity.issuer import Issuer, load_issuer
from isthmus.kube import pki

NOW = datetime.now(UTC) + timedelta(minutes=10)
"""Well within the life of certificates that the tests make later, however long their collection takes."""


def load(files: dict[str, str], *, now: datetime = NOW) -> Issuer:
    return load_issuer(cert_pem=files["tls.crt"], key_pem=files["tls.key"], roots_pem=files["ca-bundle.crt"], now=now)


def test_an_issuer_under_the_root_is_sent_along_with_its_leaves(authorities):
    issuer = load(authorities.files)
    assert [pki.certificate_pem(each) for each in issuer.chain] == [authorities.issuer.cert_pem]


def test_an_issuer_that_is_the_root_itself_sends_no_intermediates(authorities):
    root = authorities.root
    issuer = load({"tls.crt": root.cert_pem, "tls.key": root.key_pem, "ca-bundle.crt": root.cert_pem})
    assert issuer.chain == ()


def test_any_of_several_roots_will_do(authorities, other_authorities):
    both = other_authorities.root.cert_pem + authorities.root.cert_pem
    assert load(authorities.files | {"ca-bundle.crt": both})


def test_the_key_of_an_issuer_is_not_shown(authorities):
    assert "PRIVATE" not in repr(load(authorities.files))
    assert authorities.issuer.key_pem not in repr(authorities.issuer)


def test_clear_words_for_every_fault(authorities, other_authorities):
    files, other = authorities.files, other_authorities.files
    leaf = pki.make_server_certificate(authorities.root, dns_names=["web"])
    year = timedelta(days=366)
    faults = [
        (files | {"ca-bundle.crt": other["ca-bundle.crt"]}, NOW, "does not lead to any of the trust roots"),
        (files | {"tls.key": other["tls.key"]}, NOW, "does not belong to the issuer certificate"),
        (files | {"tls.key": "rubbish"}, NOW, "not a readable unencrypted PEM private key"),
        (files | {"tls.crt": "rubbish"}, NOW, r"the issuer certificate \(tls.crt\) cannot be used"),
        (files | {"ca-bundle.crt": ""}, NOW, r"the trust roots \(ca-bundle.crt\) cannot be used"),
        (files | {"tls.crt": leaf.cert_pem, "tls.key": leaf.key_pem}, NOW, "it is not a CA certificate"),
        (files, NOW + year, "expired at"),
        (files, NOW - year, "is not valid before"),
    ]
    for contents, now, words in faults:
        with pytest.raises(pki.CertificateError, match=words):
            load(contents, now=now)
