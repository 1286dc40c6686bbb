"""Whom proxies believe."""

from tests.mesh import objects as make

from isthmus.mesh import proxies, trust
from isthmus.mesh.model import TrustBundle

OWN = TrustBundle(make.DOMAIN, "own roots")


def usable(text: str) -> str | None:
    return text if "roots" in text else None


def test_servers_are_vouched_for_by_this_cluster_and_those_it_links_to() -> None:
    state = make.state()
    make.put(state, make.link("east"), make.link("north", trust_domain="z"))
    assert trust.outbound(state, usable).bundles == (
        OWN,
        TrustBundle("root-2.cluster.local", "roots of east"),
        TrustBundle("z", "roots of north"),
    )


def test_clients_of_other_clusters_are_believed_only_where_they_may_come() -> None:
    state = make.state()
    make.put(state, make.federated("west", "roots of west"))
    assert trust.inbound(state, usable, exposed=False).bundles == (OWN,)
    assert trust.inbound(state, usable, exposed=True).bundles == (OWN, TrustBundle("west", "roots of west"))


def test_a_client_is_said_to_be_of_the_cluster_that_this_one_links_to_under_that_name() -> None:
    """In a comment, for metrics. What a cluster calls itself is not asked."""
    state = make.state()
    make.put(state, make.federated("z", "roots of z"), make.link("north", trust_domain="z"))
    make.put(state, make.federated("y", "roots of y"))
    assert trust.inbound(state, usable, exposed=True).bundles == (
        OWN,
        TrustBundle("y", "roots of y"),
        TrustBundle("z", "# cluster north\nroots of z"),
    )


def test_nobody_else_speaks_for_this_clusters_domain() -> None:
    state = make.state()
    make.put(state, make.federated(make.DOMAIN, "forged roots"), make.link("east", trust_domain=make.DOMAIN))
    assert trust.inbound(state, usable, exposed=True).bundles == (OWN,)
    assert trust.outbound(state, usable).bundles == (OWN,)


def test_nobody_else_speaks_for_it_even_while_its_own_roots_cannot_be_read() -> None:
    state = make.state()
    state.set_roots("unreadable")
    make.put(state, make.federated(make.DOMAIN, "forged roots"))
    assert trust.inbound(state, usable, exposed=True).bundles == ()


def test_what_a_cluster_says_of_itself_counts_only_as_far_as_it_was_accepted() -> None:
    state = make.state()
    spec = {"trustDomain": "west", "bundle": "claimed roots"}
    registration = {"metadata": {"name": "west", "namespace": "linkerd-multicluster"}, "spec": spec}
    linked = make.link_json("east", targetTrustDomain="z", targetTrustBundle="claimed roots") | {"status": {}}
    make.put(state, make.msgspec.convert(registration, make.FederatedTrustDomain))
    make.put(state, make.msgspec.convert(linked, make.Link))
    assert trust.inbound(state, usable, exposed=True).bundles == (OWN,)
    assert trust.outbound(state, usable).bundles == (OWN,)


def test_one_unreadable_bundle_does_not_take_the_others_with_it() -> None:
    state = make.state()
    make.put(state, make.link("east", bundle="garbage"), make.link("north", trust_domain="z"))
    assert [each.trust_domain for each in trust.outbound(state, usable).bundles] == [make.DOMAIN, "z"]


def test_a_registration_that_changes_without_a_verdict_wakes_no_proxy() -> None:
    state = make.state()
    accepted, again = make.federated("west", "roots of west"), make.federated("west", "roots of west", created="later")
    state.set_federated(None, accepted)
    assert state.take_changed()
    state.set_federated(accepted, again)
    assert not state.take_changed()
    state.set_federated(again, None)
    assert state.take_changed()


def test_a_certificate_speaks_for_its_own_pod_only() -> None:
    state = make.state()
    make.put(state, make.pod("web.1", "10.244.0.7", account="web"))
    web = f"spiffe://{make.DOMAIN}/ns/shop/sa/web"
    assert proxies.refusal(state, "web.1.shop", [web]) is None
    assert "is " + web in str(proxies.refusal(state, "web.1.shop", ["spiffe://other/ns/shop/sa/web"]))
    assert "nobody" in str(proxies.refusal(state, "web.1.shop", []))
    assert "no meshed pod shop/ghost" in str(proxies.refusal(state, "ghost.shop", [web]))
    assert "is not <pod>.<namespace>" in str(proxies.refusal(state, "web", [web]))
