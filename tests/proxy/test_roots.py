"""What a proxy's agent makes of bundles, and of what Envoy says it holds."""

import base64
import textwrap

from hypothesis import given
from hypothesis import strategies as st

from isthmus import names
from isthmus.proxy import roots
from isthmus.proxy.held import Held, found

ONE, OTHER = (
    f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(text * 60).decode()}\n-----END CERTIFICATE-----\n"
    for text in (b"one", b"two")
)


def dump(bundle: str, domain: str = "td.example") -> dict:
    validator = {"trust_domains": [{"name": domain, "trust_bundle": {"inline_string": bundle}}]}
    context = {"custom_validator_config": {"typed_config": validator}}
    return {"configs": [{"name": names.TRUST_INBOUND_SECRET, "secret": {"validation_context": context}}]}


def test_bundles_agree_whatever_stands_between_their_certificates_and_however_lines_are_broken():
    body = "".join(ONE.splitlines()[1:-1])
    wrapped = "\r\n".join(["-----BEGIN CERTIFICATE-----", *textwrap.wrap(body, 20), "-----END CERTIFICATE-----"])
    assert roots.agree(ONE + OTHER, f"# a comment\n{OTHER}\nand another\n{wrapped}\n")
    assert not roots.agree(ONE, ONE + OTHER)


@given(st.lists(st.sampled_from([ONE, OTHER, "# text\n"])))
def test_a_union_holds_each_certificate_once(parts):
    found = roots.certificates(roots.together("".join(parts)))
    assert sorted(found) == sorted({cert for part in parts for cert in roots.certificates(part)})


@given(st.text())
def test_text_without_certificates_holds_none(text):
    assert roots.together(text.replace("-", "")) == ""


def test_envoy_says_who_signs_and_what_vouches():
    held = found(dump(f"{names.ISSUER_COMMENT}abc\n{ONE}"), "td.example")
    assert (held.issuer, roots.agree(held.roots, ONE)) == ("abc", True)
    assert Held.decode(held.encode()).roots == held.roots


def test_another_domains_roots_are_not_the_own():
    assert found(dump(ONE, "elsewhere.example"), "td.example").roots == ""


def test_the_roots_that_a_former_container_learned_are_found(tmp_path):
    assert roots.remembered(str(tmp_path)) == ""
    (tmp_path / roots.TRUST_ANCHORS_FILE).write_text("half a fi")
    assert roots.remembered(str(tmp_path)) == ""
    (tmp_path / roots.TRUST_ANCHORS_FILE).write_text(ONE)
    assert roots.agree(roots.remembered(str(tmp_path)), ONE)
