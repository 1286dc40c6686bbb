"""Cluster DNS answers what Kubernetes' does."""

import pytest

from isthmus.lab.node.zone import Zone

WEB = {
    "metadata": {"namespace": "shop", "name": "web"},
    "spec": {"clusterIP": "10.96.1.1", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
}
DB = {
    "metadata": {"namespace": "shop", "name": "db"},
    "spec": {"clusterIP": "None", "ports": [{"name": "pg", "port": 1}]},
}
ALIAS = {
    "metadata": {"namespace": "shop", "name": "alias"},
    "spec": {"type": "ExternalName", "externalName": "web.shop.svc.test"},
}
LOOP = {
    "metadata": {"namespace": "shop", "name": "loop"},
    "spec": {"type": "ExternalName", "externalName": "loop.shop.svc.test"},
}
OUTSIDE = {
    "metadata": {"namespace": "shop", "name": "outside"},
    "spec": {"type": "ExternalName", "externalName": "example.org"},
}
SLICE = {
    "ports": [{"name": "pg", "port": 5432, "protocol": "TCP"}],
    "endpoints": [
        {"addresses": ["10.244.0.2"], "hostname": "db-0", "conditions": {"ready": True}},
        {"addresses": ["10.244.0.3"], "hostname": "db-1", "conditions": {"ready": False}},
        {"addresses": ["10.244.0.4"], "conditions": {"ready": True}},
    ],
}
SERVICES = {item["metadata"]["name"]: item for item in (WEB, DB, ALIAS, LOOP, OUTSIDE)}

zone = Zone(
    domain="test",
    service=lambda namespace, name: SERVICES.get(name) if namespace == "shop" else None,
    slices=lambda namespace, name: [SLICE] if name == "db" else [],
    has_namespace=lambda name: name == "shop",
)


def values(name, kind="A"):
    return [record.value for record in zone.resolve(name, kind).records]


def test_a_service_has_its_cluster_address():
    assert values("web.shop.svc.test") == ["10.96.1.1"]
    assert values("WEB.Shop.svc.test.") == ["10.96.1.1"]


def test_a_headless_service_has_the_addresses_of_its_ready_pods():
    assert values("db.shop.svc.test") == ["10.244.0.2", "10.244.0.4"]


def test_pods_of_a_headless_service_have_names():
    assert values("db-0.db.shop.svc.test") == ["10.244.0.2"]
    assert values("10-244-0-4.db.shop.svc.test") == ["10.244.0.4"]
    assert not zone.resolve("db-1.db.shop.svc.test", "A").exists


def test_ports_are_found_by_name():
    (record,) = zone.resolve("_http._tcp.web.shop.svc.test", "SRV").records
    assert (record.value, record.port) == ("web.shop.svc.test", 80)
    answer = zone.resolve("_pg._tcp.db.shop.svc.test", "SRV")
    assert [(record.value, record.port) for record in answer.records] == [
        ("db-0.db.shop.svc.test", 5432),
        ("10-244-0-4.db.shop.svc.test", 5432),
    ]
    assert [record.value for record in answer.additional] == ["10.244.0.2", "10.244.0.4"]


def test_an_external_name_is_an_alias_followed_inside_the_cluster():
    assert values("alias.shop.svc.test") == ["web.shop.svc.test", "10.96.1.1"]
    assert values("outside.shop.svc.test") == ["example.org"]


def test_aliases_that_lead_to_themselves_end():
    assert set(values("loop.shop.svc.test")) == {"loop.shop.svc.test"}


@pytest.mark.parametrize(
    "name",
    ["web.shop.svc.test", "db.shop.svc.test", "shop.svc.test", "svc.test", "test", "_http._tcp.web.shop.svc.test"],
)
def test_a_name_that_exists_has_no_ipv6_address_but_is_not_denied(name):
    answer = zone.resolve(name, "AAAA")
    assert (answer.exists, answer.records) == (True, ())


@pytest.mark.parametrize(
    "name",
    [
        "nothing.shop.svc.test",
        "web.other.svc.test",
        "other.svc.test",
        "x.web.shop.svc.test",
        "web.shop.svc.test.default.svc.test",
        "_none._tcp.web.shop.svc.test",
        "a.b.web.shop.svc.test",
        "example.org",
        "",
    ],
)
def test_nothing_else_exists(name):
    assert not zone.resolve(name, "A").exists
