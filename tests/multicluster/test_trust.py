"""Whose roots a cluster accepts from clusters that link to it."""

from typing import Any

import pytest

from isthmus.kube import pki
from isthmus.kube.meta import Meta
from isthmus.multicluster import trust
from isthmus.multicluster.objects import ConfigMap

ROOT = pki.make_root("west")
BUNDLE = ROOT.cert_pem


def registration(name: str = "west", *, domain: str = "west.example", bundle: str = BUNDLE, age: int = 1) -> Any:
    created = f"2026-01-{age:02}T00:00:00Z"
    return {
        "metadata": {"namespace": "linkerd-multicluster", "name": name, "creationTimestamp": created},
        "spec": {"trustDomain": domain, "bundle": bundle},
    }


def reason(item: Any) -> str:
    return trust.judge([item], "east.example")["linkerd-multicluster", item["metadata"]["name"]].reason


def test_a_bundle_of_another_domain_is_accepted() -> None:
    assert reason(registration()) == "Accepted"
    assert reason(registration(bundle=BUNDLE + pki.make_root("next").cert_pem)) == "Accepted"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (registration(domain="east.example"), "OwnTrustDomain"),
        (registration(domain="No Domain"), "InvalidTrustDomain"),
        (registration(domain=""), "InvalidTrustDomain"),
        (registration(bundle="no certificate"), "InvalidBundle"),
        (registration(bundle=BUNDLE * 33), "InvalidBundle"),
        (registration(bundle=BUNDLE + " " * 70000), "BundleTooLarge"),
    ],
)
def test_what_is_refused_and_why(item: Any, expected: str) -> None:
    assert reason(item) == expected


def test_a_certificate_that_is_no_authority_vouches_for_nobody() -> None:
    server = pki.make_server_certificate(ROOT, dns_names=["a.example"]).cert_pem
    leaf = pki.certificate_pem(pki.load_certificates(server)[0])
    assert reason(registration(bundle=leaf)) == "InvalidBundle"


def test_a_domain_belongs_to_who_registered_it_first() -> None:
    items = [registration("late", age=3), registration("first", age=2), registration("broken", bundle="x", age=1)]
    verdicts = {name: verdict.reason for (_, name), verdict in trust.judge(items, "east.example").items()}
    assert verdicts == {"broken": "InvalidBundle", "first": "Accepted", "late": "AlreadyClaimed"}


def test_a_status_that_is_already_written_is_not_written_again() -> None:
    verdict = trust.Verdict("Accepted", "fine")
    first = trust.acceptance(verdict, {}, now="2026-01-01T00:00:00Z")
    assert trust.acceptance(verdict, first, now="2026-02-02T00:00:00Z") == first
    changed = trust.acceptance(trust.Verdict("InvalidBundle", "x"), first, now="2026-02-02T00:00:00Z")
    assert changed["conditions"][0]["lastTransitionTime"] == "2026-02-02T00:00:00Z"


@pytest.mark.parametrize("data", [{}, {"trust-domain": "a"}, {"ca-bundle.crt": "PEM", "trust-domain": " "}])
def test_roots_that_are_not_complete_are_no_roots(data: dict[str, str]) -> None:
    assert trust.roots(ConfigMap(Meta(), data)) is None
    assert trust.roots(None) is None
