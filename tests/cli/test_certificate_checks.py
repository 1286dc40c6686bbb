"""What `check` says of roots, issuer, webhook and what proxies hold, on any day."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from isthmus.cli import certificate_checks as checks
from isthmus.cli.health import Problem
from isthmus.identity import ca
from isthmus.identity.issuer import load_issuer
from isthmus.identity.rotation import Holding
from isthmus.install import certificates
from isthmus.kube import pki
from isthmus.mesh.model import Identity

NOW = datetime.now(UTC)
MADE = certificates.fresh(cluster_domain="cluster.local")
ROOTS = pki.load_certificates(MADE.trust_anchors)
STRANGER = pki.make_root("stranger")


def leaf() -> str:
    issuer = load_issuer(
        cert_pem=MADE.issuer_certificate, key_pem=MADE.issuer_key, roots_pem=MADE.trust_anchors, now=NOW
    )
    names = ca.workload_names(Identity(MADE.trust_domain, "default", "web"))
    return ca.issue(pki.make_key().public_key(), names, issuer=issuer, now=NOW, validity=ca.Validity()).chain_pem


def holding(**fields: str) -> Holding:
    return Holding("pod default/web", **{"certificate": leaf(), "roots": MADE.trust_anchors} | fields)


def test_a_proxy_that_holds_what_the_control_plane_publishes_is_well():
    assert checks.unfit(holding(), ROOTS, NOW) == ""


@pytest.mark.parametrize(
    ("held", "roots", "now", "said"),
    [
        (holding(), pki.load_certificates(STRANGER.cert_pem), NOW, "no root of ConfigMap"),
        (holding(), [*ROOTS, *pki.load_certificates(STRANGER.cert_pem)], NOW, "does not hold the root"),
        (holding(roots=MADE.trust_anchors + STRANGER.cert_pem), ROOTS, NOW, "holds the root"),
        (holding(), ROOTS, NOW + timedelta(hours=25), "expired at"),
        (holding(), ROOTS, NOW - timedelta(minutes=5), "compare the clocks"),
        (holding(problem="cannot be asked (no answer)"), ROOTS, NOW, "cannot be asked (no answer)"),
    ],
    ids=["another root", "a root too few", "a root too many", "expired", "not yet valid", "silent"],
)
def test_what_is_wrong_with_a_proxy_is_said(held, roots, now, said):
    assert said in checks.unfit(held, roots, now)


def test_only_some_of_many_proxies_are_listed():
    with pytest.raises(Problem) as caught:
        checks._require_matching([Holding("pod a/b", problem="is silent")] * 7, ROOTS, NOW)
    assert str(caught.value).splitlines()[-1] == "and 2 more"


@pytest.mark.parametrize(
    ("age", "said"), [(timedelta(days=400), "expired on"), (timedelta(days=-1), "is valid only from")]
)
def test_a_certificate_out_of_its_time_fails_with_what_to_do(age, said):
    pair = pki.make_server_certificate(STRANGER, dns_names=["injector"], now=NOW - age)
    with pytest.raises(Problem, match=said):
        checks._require_valid(pki.load_certificates(pair.cert_pem), "the injector's certificate", now=NOW)


def test_a_certificate_that_ends_within_60_days_is_told_and_how_to_replace_it():
    pair = pki.make_server_certificate(STRANGER, dns_names=["injector"], lifetime=timedelta(days=59))
    with pytest.raises(Problem, match="linkerd rotate webhook"):
        checks._require_lasting(
            pki.load_certificates(pair.cert_pem), "the injector's certificate", advice=checks.ROTATE_WEBHOOK
        )


def test_an_issuer_of_another_root_is_named_with_both_objects():
    issuer = pki.load_certificates(MADE.issuer_certificate)
    with pytest.raises(Problem, match="Secret linkerd-identity-issuer and ConfigMap linkerd-identity-trust-roots"):
        checks._require_chain(issuer, pki.load_certificates(STRANGER.cert_pem), checks.UNRELATED)


@pytest.mark.parametrize("seconds", [0, 20, -20])
def test_clocks_that_differ_by_what_certificates_bear_are_equal(seconds):
    checks.require_equal_clocks({"east": NOW, "west": NOW + timedelta(seconds=seconds)})


def test_clocks_that_differ_by_more_are_named_with_the_one_that_is_ahead():
    clocks = {"east": NOW + timedelta(seconds=90), "north": NOW, "west": NOW}
    with pytest.raises(Problem, match="the clock of east is 90 s ahead of that of north"):
        checks.require_equal_clocks(clocks)


def test_a_renewed_webhook_is_believed_beside_the_old_one_but_not_beside_expired_ones():

    def encoded(pem: str) -> str:
        return base64.b64encode(pem.encode()).decode()

    expired = pki.make_root("expired", lifetime=timedelta(days=1), now=NOW - timedelta(days=9))
    configuration = {
        "metadata": {"name": "hook", "uid": "1"},
        "webhooks": [{"name": "a", "clientConfig": {"caBundle": encoded(expired.cert_pem + MADE.webhook_ca)}}],
    }
    secret = {"metadata": {"name": "tls"}, "data": {}}
    hook, made = certificates.renewed_webhook(configuration, secret, "cluster.local", now=NOW)
    believed = pki.load_certificates(base64.b64decode(hook["webhooks"][0]["clientConfig"]["caBundle"]).decode())
    (served,) = pki.load_certificates(base64.b64decode(made["data"]["tls.crt"]).decode())
    assert len(believed) == 2
    assert pki.signed_by(served, believed[0])
    assert believed[1] == pki.load_certificates(MADE.webhook_ca)[0]
