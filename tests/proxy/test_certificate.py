"""What the agent says when it gets no certificate, and what it asks for."""

import pytest
from cryptography import x509

from isthmus.proxy import certificate, programs
from isthmus.proxy.issued import Issued, refused
from isthmus.proxy.settings import Settings, SettingsError

ENVIRONMENT = {
    "ISTHMUS_POD_NAME": "web-0",
    "ISTHMUS_POD_NAMESPACE": "shop",
    "ISTHMUS_SERVICE_ACCOUNT": "web",
    "ISTHMUS_TRUST_DOMAIN": "td.example",
    "ISTHMUS_TRUST_ANCHORS": "the roots",
    "ISTHMUS_IDENTITY_ADDR": "linkerd-identity.linkerd.svc.east.local:8080",
    "ISTHMUS_DESTINATION_ADDR": "linkerd-dst.linkerd.svc.east.local:8086",
}


def test_a_new_key_and_a_request_for_the_pods_own_names():
    key, pem = certificate.make_request(Settings(ENVIRONMENT))
    request = x509.load_pem_x509_csr(pem.encode())
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == [
        "spiffe://td.example/ns/shop/sa/web",
        "web.shop.serviceaccount.identity.linkerd.td.example",
    ]
    assert request.is_signature_valid
    assert key.startswith("-----BEGIN PRIVATE KEY-----")
    assert certificate.make_request(Settings(ENVIRONMENT))[0] != key


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        (b"BIO_lookup_ex:system lib:crypto/bio/bio_addr.c:758:Name or service not known", "name does not resolve"),
        (b"connect:errno=111\nBIO_connect:Connection refused", "refuses connections"),
        (b"verify error:num=20:unable to get local issuer certificate", "not trusted: unable to get local issuer"),
        (b"verify error:num=62:hostname mismatch", "not trusted: hostname mismatch"),
        (b"something new\nand its reason", "and its reason"),
        (b"", "no reason given"),
    ],
)
def test_openssls_complaints_become_sentences(said, meaning):
    assert meaning in certificate.explain(said)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\n\r\nrubbish", b"\xff\r\n\r\n{}"])
def test_an_answer_that_is_none_is_said_so(answer):
    with pytest.raises(certificate.NotIssuedError, match="cannot be read"):
        certificate.parse(answer)


def test_a_service_that_cannot_be_reached_is_named(tmp_path):
    token = tmp_path / "token"
    token.write_text("t")
    settings = Settings(
        ENVIRONMENT | {"ISTHMUS_IDENTITY_DIR": str(tmp_path / "made"), "ISTHMUS_TOKEN_FILE": str(token)}
    )
    settings.identity_dial = ("127.0.0.1", 1)
    with pytest.raises(certificate.NotIssuedError, match=r"linkerd-identity\.linkerd\.svc\.east\.local:8080 cannot"):
        certificate.obtain(settings, "no roots at all")
    token.unlink()
    with pytest.raises(certificate.NotIssuedError, match="token cannot be used: No such file"):
        certificate.obtain(settings, "no roots at all")


def test_outcomes_pass_through_the_pipe():
    issued = Issued.decode(Issued(issued_at=1.5, expires_at=2.5, trust_anchors="a\nb\n").encode())
    assert isinstance(issued, Issued)
    assert (issued.issued_at, issued.expires_at, issued.trust_anchors) == (1.5, 2.5, "a\nb\n")
    assert Issued.decode(refused("no: not\ntoday")) == "no: not\ntoday"
    assert "without an answer" in str(Issued.decode(b""))


def test_a_file_is_replaced_whole_with_its_mode(tmp_path):
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    certificate.write(str(path), "new", mode=0o600)
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["secret"]


def test_programs_that_fail_hang_or_do_not_exist_are_told_apart():
    assert programs.run(("sh", "-c", "cat; echo no >&2; exit 3"), given=b"in" * 100_000, timeout=5).code == 3
    with pytest.raises(programs.ProgramError, match="no answer within 0 s"):
        programs.run(("sleep", "60"), timeout=0.05)
    with pytest.raises(programs.ProgramError, match="no-such-program cannot be started"):
        programs.run(("no-such-program",), timeout=1)


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_a_missing_variable_is_named(name):
    with pytest.raises(SettingsError, match=name):
        Settings(ENVIRONMENT | {name: ""})


def test_settings_follow_from_the_addresses():
    settings = Settings(ENVIRONMENT | {"ISTHMUS_LOG_LEVEL": "linkerd=debug,info"})
    assert settings.cluster_domain == "east.local"
    assert settings.destination_spiffe_id == "spiffe://td.example/ns/linkerd/sa/linkerd-destination"
    assert settings.log_level == "info"
    with pytest.raises(SettingsError, match="must be <host>:<port>"):
        Settings(ENVIRONMENT | {"ISTHMUS_IDENTITY_ADDR": "nowhere"})
