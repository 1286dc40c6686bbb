"""A rotation of the root: what each step prints, and what has to be true before the next."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from isthmus import names
from isthmus.identity import ca, rotation
from isthmus.identity.rotation import Holding, Installed, Material, Phase
from isthmus.install import certificates, controlplane
from isthmus.install.values import Certificates, InstallValues
from isthmus.kube import pki
from isthmus.mesh.model import Identity
from isthmus.multicluster import acceptance
from isthmus.multicluster.acceptance import Claim
from isthmus.multicluster.trust import Roots


def installed(made=None) -> Installed:
    made = made or certificates.fresh(cluster_domain="cluster.local")
    secret = {"tls.crt": made.issuer_certificate, "tls.key": made.issuer_key}
    return Installed(
        {
            "metadata": {"name": "roots", "resourceVersion": "7", "labels": {"a": "b"}},
            "data": {names.TRUST_ROOTS_KEY: made.trust_anchors, names.TRUST_DOMAIN_KEY: made.trust_domain},
        },
        {
            "metadata": {"name": "issuer", "uid": "1"},
            "data": {name: base64.b64encode(text.encode()).decode() for name, text in secret.items()},
        },
    )


def new(common_name: str = "next", *, now: datetime | None = None) -> Material:
    root = pki.make_root(common_name, now=now)
    return Material(root.cert_pem, pki.make_issuer(root, common_name="next issuer", now=now))


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


def after(before: Installed, printed: list[dict]) -> Installed:
    """What is in the cluster once the printed objects are applied."""
    by_name = {each["metadata"]["name"]: each for each in printed}
    return Installed(by_name.get("roots", before.config_map), by_name.get("issuer", before.secret))


def through(begin: Installed, material: Material, now: datetime) -> list[Installed]:
    seen = [begin]
    for step in (lambda it: rotation.publish(it, material, now), rotation.switch, rotation.retire):
        seen.append(after(seen[-1], step(seen[-1])))
    return seen


def test_each_step_leads_to_the_next_and_the_last_to_the_beginning(now):
    phases = [rotation.phase(each, now) for each in through(installed(), new(), now)]
    assert phases == [Phase.SETTLED, Phase.PUBLISHED, Phase.SWITCHED, Phase.SETTLED]


def test_the_issuer_leads_to_the_published_roots_after_every_step(now):
    for each in through(installed(), new(), now):
        each.issuer(now)


def test_the_old_root_stays_until_the_last_step_and_the_new_one_comes_with_the_first(now):
    material = new()
    seen = through(installed(), material, now)
    old, fresh = seen[0].bundle, material.roots
    assert [(old in each.bundle, fresh in each.bundle) for each in seen] == [
        (True, False),
        (True, True),
        (True, True),
        (False, True),
    ]


def test_the_trust_domain_stays(now):
    assert len({each.trust_domain for each in through(installed(), new(), now)}) == 1


def test_an_installation_that_is_applied_again_takes_nothing_of_a_rotation_away(now):
    made = certificates.fresh(cluster_domain="cluster.local")
    for each in through(installed(made), new(), now):
        again = rotation.carried_over(controlplane.manifests(InstallValues(certificates=kept(made, each))), each)
        objects = {(item["kind"], item["metadata"]["name"]): item for item in again}
        after = Installed(
            objects["ConfigMap", names.TRUST_ROOTS_CONFIG_MAP], objects["Secret", names.IDENTITY_ISSUER_SECRET]
        )
        assert (after.config_map["data"], after.secret["data"]) == (each.config_map["data"], each.secret["data"])
        assert (after.retiring, rotation.phase(after, now)) == (each.retiring, rotation.phase(each, now))


def kept(made: Certificates, there: Installed) -> Certificates:
    """What `install` finds in the cluster."""
    issuer = {"issuer_certificate": there.pem("tls.crt"), "issuer_key": there.pem("tls.key")}
    return replace(made, trust_anchors=there.bundle, **issuer)


def test_what_the_api_server_wrote_is_not_printed(now):
    for each in rotation.publish(installed(), new(), now):
        assert not {"resourceVersion", "uid"} & set(each["metadata"])


def test_a_next_issuer_that_was_lost_is_made_again_and_no_root_is_dropped_for_it(now):
    published = through(installed(), new(), now)[1]
    lost = Installed(
        published.config_map, {**published.secret, "data": dict(list(published.secret["data"].items())[:2])}
    )
    assert rotation.phase(lost, now) is Phase.SETTLED
    again = after(lost, rotation.publish(lost, new("another"), now))
    assert set(lost.bundle.split("-----")) <= set(again.bundle.split("-----"))
    assert len(again.staying) == 1


def test_an_issuer_of_another_root_is_refused(now):
    with pytest.raises(pki.CertificateError, match="does not lead to any of the trust roots"):
        rotation.publish(installed(), Material(new().roots, new().issuer), now)


def test_a_proxy_that_lacks_the_new_root_is_named_and_so_is_one_that_cannot_be_asked(now):
    published = through(installed(), new(), now)[1]
    old = "".join(map(pki.certificate_pem, published.roots[:1]))
    holdings = [
        Holding("pod a/ready", roots=published.bundle, anchors=published.bundle),
        Holding("pod a/late", roots=old, anchors=old),
        Holding("pod a/half", roots=published.bundle, anchors=old),
        Holding("pod a/silent", problem="cannot be asked (no answer)"),
    ]
    assert rotation.missing_roots(holdings, published.staying) == [
        "pod a/late does not hold the new root yet",
        "pod a/half does not expect the new root of the control plane yet",
        "pod a/silent cannot be asked (no answer)",
    ]


def test_a_proxy_whose_certificate_leads_to_the_old_root_only_is_named(now):
    seen = through(installed(), new(), now)
    leaves = [each.pem("tls.crt") for each in seen]
    holdings = [Holding("pod a/old", certificate=leaves[0]), Holding("pod a/new", certificate=leaves[2])]
    assert rotation.not_vouched(holdings, seen[2].staying) == ["pod a/old has a certificate of the old root still"]


# --- the trust domain after its first root ------------------------------------------------------------------------
def verdict(each: Installed, lineage: str | None = None) -> str:
    """What a cluster says that meets this one for the first time."""
    proof = each.config_map["data"].get(names.LINEAGE_KEY, "") if lineage is None else lineage
    claim = Claim(key=("", "it"), created="", roots=Roots(each.trust_domain, each.bundle, proof))
    return acceptance.judge([claim], Roots("own.example", pki.make_root("own").cert_pem))[claim.key].reason


def test_a_cluster_can_be_linked_for_the_first_time_when_its_first_roots_are_long_gone(now):
    current = installed()
    for number in range(3):
        current = through(current, new(f"root {number}"), now)[-1]
    assert verdict(current) == "Accepted"
    assert verdict(current, "") == "NotItsRoot"


def test_the_lineage_of_another_cluster_proves_nothing(now):
    one, other = (through(installed(), new(), now)[-1] for _ in range(2))
    assert verdict(one, other.config_map["data"][names.LINEAGE_KEY]) == "NotItsRoot"


def test_a_workloads_certificate_is_no_word_for_a_root(now):
    """Whoever runs a pod has a certificate of the issuer for a key of theirs, and could make a root of that key."""
    begin = installed()
    issuer, key = begin.issuer(now), pki.make_key()
    identity = Identity(begin.trust_domain, "default", "thief")
    leaf = ca.issue(key.public_key(), ca.workload_names(identity), issuer=issuer, now=now, validity=ca.Validity())
    thief = pki.make_root("thief", key=key)
    stolen = {**begin.config_map["data"], names.TRUST_ROOTS_KEY: thief.cert_pem}
    pretender = Installed({**begin.config_map, "data": stolen}, begin.secret)
    assert verdict(pretender, begin.bundle + leaf.chain_pem + thief.cert_pem) == "NotItsRoot"


def test_an_expired_issuer_can_still_be_replaced(now):
    late = now + timedelta(days=400)
    begin = installed()
    published = after(begin, rotation.publish(begin, new(now=late), late))
    assert rotation.phase(published, late) is Phase.PUBLISHED
