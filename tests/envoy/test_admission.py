"""The rules by which each request of a mesh connection is let in."""

from isthmus import names
from isthmus.destination import render, wire
from isthmus.envoy import admission
from isthmus.mesh.model import Trust, TrustBundle


def principals(*domains: str) -> list[str]:
    extension = admission.rules(Trust(names.TRUST_INBOUND_SECRET, tuple(TrustBundle(each, "") for each in domains)))
    found = admission.rbac_filter_pb2.RBAC()
    extension.typed_config.Unpack(found)
    return [
        each.authenticated.principal_name.prefix
        for policy in found.rules.policies.values()
        for each in policy.principals
    ]


def test_clients_of_the_trusted_domains_are_let_in_and_no_domain_is_the_beginning_of_another():
    assert principals("east.example", "west.example") == ["spiffe://east.example/", "spiffe://west.example/"]


def test_where_nobody_is_trusted_nobody_is_let_in():
    assert principals() == []


def test_only_what_is_let_in_has_rules():
    def kinds(name: str) -> set[str]:
        return {piece.type_url for piece in render.render(Trust(name, ()))}

    assert kinds(names.TRUST_INBOUND_SECRET) == {wire.SECRET, wire.EXTENSION}
    assert kinds(names.TRUST_OUTBOUND_SECRET) == {wire.SECRET}
