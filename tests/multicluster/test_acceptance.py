"""Whom a cluster believes, and that nobody can take what another one holds."""

import ssl
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.kube import pki
from isthmus.multicluster import acceptance
from isthmus.multicluster.acceptance import Claim, Verdict
from isthmus.multicluster.trust import Roots

A, B, C, SOMEBODY = (pki.make_root(name).cert_pem for name in ("a", "b", "c", "somebody"))
OWN = Roots("east.example", pki.make_root("east").cert_pem)
DERIVED = pki.trust_domain(A, "cluster.local")


def claim(
    name: str = "west",
    *,
    domain: str = "west.example",
    bundle: str = A,
    age: int = 1,
    held: tuple[str, str] | None = None,
    vouched: str = "",
) -> Claim:
    return Claim(
        key=("linkerd-multicluster", name),
        created=f"2026-01-{age:02}T00:00:00Z",
        roots=Roots(domain, bundle),
        held=Roots(*held) if held else None,
        vouched=vouched,
    )


def judged(*claims: Claim, **options: Any) -> dict[str, Verdict]:
    return {name: verdict for (_, name), verdict in acceptance.judge(claims, OWN, **options).items()}


def verdict(one: Claim, **options: Any) -> tuple[str, str]:
    """The reason, and the roots that count."""
    found = judged(one, **options)[one.key[1]]
    return found.reason, found.roots.bundle if found.roots else ""


def test_the_first_bundle_of_another_domain_is_accepted() -> None:
    assert verdict(claim()) == ("Accepted", A)
    assert verdict(claim(bundle=A + B)) == ("Accepted", A + B)
    assert verdict(claim(bundle=f"# note\n{A}\n{A}")) == ("Accepted", A)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (claim(domain="east.example"), "OwnTrustDomain"),
        (claim(domain="No Domain"), "InvalidTrustDomain"),
        (claim(domain=""), "InvalidTrustDomain"),
        (claim(bundle="no certificate"), "InvalidBundle"),
        (claim(bundle=""), "InvalidBundle"),
        (claim(bundle=A * 33), "InvalidBundle"),
        (claim(bundle=A + " " * 70000), "BundleTooLarge"),
    ],
)
def test_what_is_refused_and_why(item: Claim, expected: str) -> None:
    assert verdict(item) == (expected, "")


def test_a_certificate_that_is_no_authority_vouches_for_nobody() -> None:
    server = pki.make_server_certificate(pki.make_root("r"), dns_names=["a.example"]).cert_pem
    assert verdict(claim(bundle=A + pki.certificate_pem(pki.load_certificates(server)[0]))) == ("InvalidBundle", "")


def strange(old: str, new: str) -> str:
    """A root in which something is written that no library expects."""
    root = pki.load_certificates(pki.make_root("strange").cert_pem)[0].public_bytes(Encoding.DER)
    assert bytes.fromhex(old) in root
    return ssl.DER_cert_to_PEM_cert(root.replace(bytes.fromhex(old), bytes.fromhex(new)))


@pytest.mark.parametrize(
    "bundle",
    [
        pytest.param(strange("a003020102", "a003020107"), id="a version that there is not"),
        pytest.param(strange("06082a8648ce3d030107", "06082a8648ce3d030177"), id="an unknown curve"),
        pytest.param(strange("06072a8648ce3d0201", "06072a8648ce3d0277"), id="an unknown kind of key"),
        pytest.param(strange("0603551d0e", "0603551d0f"), id="one extension twice"),
        pytest.param(strange("0603551d0e", "0603551d11"), id="an extension that is not what it says"),
    ],
)
def test_a_certificate_that_nobody_can_read_spoils_no_other_clusters_claim(bundle: str) -> None:
    found = judged(claim("hostile", domain="hostile.example", bundle=bundle), claim("good"))
    assert {name: each.reason for name, each in found.items()} == {"hostile": "InvalidBundle", "good": "Accepted"}
    proof = Claim(key=("n", "hostile"), created="", roots=Roots(DERIVED, B, lineage=A + bundle))
    assert verdict(proof) == ("NotItsRoot", "")


def test_a_domain_belongs_to_who_claimed_it_first() -> None:
    found = judged(claim("late", bundle=B, age=3), claim("first", age=2), claim("broken", bundle="x", age=1))
    assert {name: each.reason for name, each in found.items()} == {
        "broken": "InvalidBundle",
        "first": "Accepted",
        "late": "AlreadyClaimed",
    }


def test_an_older_object_that_turns_to_a_domain_somebody_holds_does_not_get_it() -> None:
    turned = claim("old", bundle=SOMEBODY, age=1, held=("other.example", SOMEBODY))
    found = judged(turned, claim("holder", age=9, held=("west.example", A)))
    assert (found["old"].reason, found["holder"].reason) == ("AlreadyClaimed", "Accepted")
    assert found["old"].roots is None


def test_a_rotation_publishes_old_and_new_first_and_then_only_new() -> None:
    assert verdict(claim(bundle=A + B, held=("west.example", A))) == ("Accepted", A + B)
    assert verdict(claim(bundle=B, held=("west.example", A + B))) == ("Accepted", B)


@pytest.mark.parametrize(
    ("bundle", "reason"), [(SOMEBODY, "BundleReplaced"), ("garbage", "InvalidBundle"), (A * 40, "InvalidBundle")]
)
def test_roots_that_are_replaced_or_spoiled_leave_those_accepted_before_in_force(bundle: str, reason: str) -> None:
    assert verdict(claim(bundle=bundle, held=("west.example", A))) == (reason, A)


def test_a_renewed_certificate_of_the_same_key_is_the_same_root() -> None:
    root = pki.make_root("a")
    renewed = renew(root)
    assert renewed != root.cert_pem
    assert verdict(claim(bundle=renewed, held=("west.example", root.cert_pem))) == ("Accepted", renewed)


def renew(root: pki.KeyPair) -> str:
    """The root again, with the same key and a later end."""
    old = pki.load_certificates(root.cert_pem)[0]
    key = load_pem_private_key(root.key_pem.encode(), None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.subject)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc + timedelta(days=365))
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return pki.certificate_pem(builder.sign(key, hashes.SHA256()))  # type: ignore[arg-type]


def test_a_domain_named_after_a_root_belongs_to_who_has_that_root() -> None:
    assert verdict(claim(domain=DERIVED)) == ("Accepted", A)
    assert verdict(claim(domain=DERIVED, bundle=B + A)) == ("Accepted", B + A)
    assert verdict(claim(domain=DERIVED, bundle=SOMEBODY)) == ("NotItsRoot", "")
    assert verdict(claim(domain=DERIVED, bundle=B, held=(DERIVED, A + B))) == ("Accepted", B)


def test_the_owner_of_a_domain_named_after_its_root_can_undo_what_others_wrote() -> None:
    assert verdict(claim(domain=DERIVED, bundle=A, held=(DERIVED, SOMEBODY))) == ("Accepted", A)
    assert verdict(claim(domain=DERIVED, bundle=B, held=(DERIVED, SOMEBODY))) == ("BundleReplaced", SOMEBODY)


def test_there_is_room_for_so_many_domains_and_those_that_have_it_keep_it() -> None:
    new = [claim(f"new-{number}", domain=f"d{number}.example", age=1) for number in range(3)]
    found = judged(*new, claim("holder", age=9, held=("west.example", A)), limit=2)
    assert sorted(each.reason for each in found.values()) == ["Accepted", "Accepted", *["TooManyDomains"] * 2]
    assert found["holder"].accepted


def test_linked_clusters_may_share_a_domain_if_they_share_a_root() -> None:
    both = claim("north", bundle=A + B, age=2), claim("south", bundle=A, age=1)
    assert all(each.accepted for each in judged(*both, sharing=True).values())
    assert judged(claim("north", bundle=B, age=2), claim("south", age=1), sharing=True)["north"].roots is None
    assert verdict(claim(domain="east.example", bundle=OWN.bundle), sharing=True) == ("Accepted", OWN.bundle)
    assert verdict(claim(domain="east.example"), sharing=True) == ("OwnTrustDomain", "")


def test_an_operator_who_links_again_vouches_for_roots_that_were_replaced() -> None:
    replaced = claim(bundle=B, held=("west.example", A))
    assert verdict(replaced, sharing=True) == ("BundleReplaced", A)
    assert verdict(claim(bundle=B, held=("west.example", A), vouched=B), sharing=True) == ("Accepted", B)
    assert verdict(claim(domain=DERIVED, bundle=B, vouched=B), sharing=True) == ("Accepted", B)


BUNDLES = st.lists(st.sampled_from([A, B, C, "garbage"]), min_size=1, max_size=3).map("".join)
DOMAINS = st.sampled_from(["west.example", "north.example", "east.example", DERIVED, "Bad!"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["x", "y", "z"]), DOMAINS, BUNDLES, st.integers(1, 9)), max_size=8))
def test_whatever_is_claimed_in_whatever_order_a_domain_changes_hands_only_by_rotation(
    writes: list[tuple[str, str, str, int]],
) -> None:
    """Plays the controller: each write is judged together with what stands, and what is accepted is remembered."""
    claims: dict[str, Claim] = {}
    for name, domain, bundle, age in writes:
        before = {name: each.in_force for name, each in claims.items()}
        held = claims[name].held if name in claims else None
        made = claim(name, domain=domain, bundle=bundle, age=age, held=None)
        claims[name] = Claim(key=made.key, created=made.created, roots=made.roots, held=held)
        found = judged(*claims.values())
        claims = {
            name: Claim(key=each.key, created=each.created, roots=each.roots, held=found[name].roots)
            for name, each in claims.items()
        }
        counting = [each.roots for each in found.values() if each.roots]
        domains = [roots.trust_domain for roots in counting]
        assert len(domains) == len(set(domains))
        assert OWN.trust_domain not in domains
        for name, each in found.items():
            old, new = before.get(name), each.roots
            if old and new and old.trust_domain == new.trust_domain:
                founded = A in new.bundle and new.trust_domain == DERIVED
                assert founded or any(root in new.bundle for root in (A, B, C) if root in old.bundle)


def test_a_status_that_is_already_written_is_not_written_again() -> None:
    accepted = Verdict("Accepted", "fine", Roots("west.example", A))
    first = acceptance.status(accepted, {}, now="2026-01-01T00:00:00Z")
    assert (first["trustDomain"], first["bundle"], first["accepted"]) == ("west.example", A, "True")
    assert acceptance.status(accepted, first, now="2026-02-02T00:00:00Z") == first
    refused = acceptance.status(Verdict("InvalidBundle", "x"), first, now="2026-02-02T00:00:00Z")
    assert refused["conditions"][0]["lastTransitionTime"] == "2026-02-02T00:00:00Z"
    assert refused["bundle"] == ""


def test_what_objects_claim() -> None:
    item = {
        "metadata": {"namespace": "n", "name": "west", "creationTimestamp": "t"},
        "spec": {"trustDomain": "west.example", "bundle": A, "clusterName": "east"},
        "status": {"trustDomain": "west.example", "bundle": B},
    }
    made = acceptance.registered(item)
    assert (made.key, made.roots, made.held) == (("n", "west"), Roots("west.example", A), Roots("west.example", B))
    link = {
        "metadata": {"namespace": "n", "name": "linkerd-west"},
        "spec": {"targetTrustDomain": "west.example", "targetTrustBundle": A},
    }
    assert acceptance.linked(link) is None
    assert acceptance.linked(link, Roots("west.example", B)).vouched == A  # type: ignore[union-attr]
    assert acceptance.linked(link, Roots("other.example", B)).vouched == ""  # type: ignore[union-attr]
