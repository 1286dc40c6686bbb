"""Where the gateway of a linked cluster is, and who it must be."""

import msgspec
import pytest
from tests.mesh import objects as make

from isthmus.mesh import gateways, proxies
from isthmus.mesh.model import Address, Identity
from isthmus.resources.core import Service


@pytest.mark.parametrize(
    ("spec", "addresses"),
    [
        ({"gatewayAddress": "1.1.1.1"}, [Address("1.1.1.1", 4143)]),
        (
            {"gatewayAddress": "b.example, 1.1.1.2:1, 1.1.1.1,1.1.1.1"},
            [Address("1.1.1.1", 4143), Address("1.1.1.2", 1)],
        ),
        ({"gatewayAddress": "1.1.1.1:30443"}, [Address("1.1.1.1", 30443)]),
        ({"gatewayAddress": "fd00::1"}, [Address("fd00::1", 4143)]),
        ({"gatewayAddress": "[fd00::1]:30443"}, [Address("fd00::1", 30443)]),
        ({"gatewayAddress": "1.1.1.1", "gatewayPort": ""}, [Address("1.1.1.1", 4143)]),
        ({"gatewayAddress": "1.1.1.1", "gatewayPort": "many"}, [Address("1.1.1.1", 4143)]),
    ],
)
def test_addresses(spec: dict[str, str], addresses: list[Address]) -> None:
    found = gateways.gateway(make.link("east", **spec))
    assert found is not None
    assert (found.name, list(found.addresses)) == ("gateway/east", addresses)


@pytest.mark.parametrize("spec", [{"gatewayAddress": ""}, {"gatewayAddress": "x:0"}, {"gatewayIdentity": "who"}])
def test_a_link_without_a_usable_gateway_has_none(spec: dict[str, str]) -> None:
    assert gateways.gateway(make.link("east", **spec)) is None


def test_the_gateway_is_the_account_that_the_link_names_in_the_domain_that_the_target_has() -> None:
    dotted = "my.gateway.edge.serviceaccount.identity.linkerd.old.domain"
    assert gateways.identity(make.link("east", gatewayIdentity=dotted, trust_domain="new")) == Identity(
        "new", "edge", "my.gateway"
    )
    spiffe = "spiffe://old/ns/edge/sa/gateway"
    assert gateways.identity(make.link("east", gatewayIdentity=spiffe, trust_domain="")) == Identity(
        "old", "edge", "gateway"
    )


def test_no_link_no_gateway() -> None:
    assert gateways.resolve(make.state(), "east") is None


# --- proxies ----------------------------------------------------------------------------------------------------------


def outbound_opaque(*services: tuple[str, int, str | None]) -> set[int]:
    """Opaque ports of a proxy, where services with these names, ports and annotations exist."""
    state = make.state()
    make.put(state, make.pod("web", "10.244.0.7"))
    for number, (name, port, annotation) in enumerate(services):
        annotations = {} if annotation is None else {make.names.OPAQUE_PORTS_ANNOTATION: annotation}
        make.put(state, make.service(name, f"10.96.0.{number}", port, annotations=annotations))
    config = proxies.config(state, ("shop", "web"))
    assert config is not None
    return set(config.outbound_opaque_ports) - set(make.names.DEFAULT_OPAQUE_PORTS) | {
        -port for port in set(make.names.DEFAULT_OPAQUE_PORTS) - set(config.outbound_opaque_ports)
    }


def test_a_port_is_opaque_when_every_service_that_has_it_says_so() -> None:
    assert outbound_opaque() == set()
    assert outbound_opaque(("db", 5000, "5000")) == {5000}
    assert outbound_opaque(("db", 5000, "5000"), ("web", 5000, None)) == set()
    assert outbound_opaque(("web", 5000, None), ("db", 5000, "5000")) == set()
    assert outbound_opaque(("db", 5000, "5000"), ("web", 80, None)) == {5000}


def test_a_service_may_say_that_a_default_opaque_port_is_not() -> None:
    assert outbound_opaque(("web", 3306, "")) == {-3306}
    assert outbound_opaque(("db", 3306, None)) == set()


def test_the_ports_follow_when_a_service_changes() -> None:
    state = make.state()
    before = make.service("db", "10.96.0.1", 5000)
    make.put(state, before)
    assert 5000 not in state.opaque_ports()
    state.set_service(
        before, make.service("db", "10.96.0.1", 5000, annotations={make.names.OPAQUE_PORTS_ANNOTATION: "5000"})
    )
    assert 5000 in state.opaque_ports()


def test_gateways_and_pods_of_exported_services_may_be_reached_from_other_clusters() -> None:
    state = make.state()
    gateway = make.pod("gw", "10.244.0.4", annotations={make.names.ENABLE_GATEWAY_ANNOTATION: "true"})
    make.put(state, gateway, make.pod("web-1", "10.244.0.7"), make.pod("db-1", "10.244.0.8"))
    make.put(state, make.service("web", "10.96.0.5", 80, labels={make.names.EXPORTED: "true"}))
    make.put(state, make.service("db", "10.96.0.6", 80))
    make.put(state, make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1", ready=False)))
    make.put(state, make.endpoint_slice("db", make.endpoint("10.244.0.8", "db-1")))
    assert {name for name in ("gw", "web-1", "db-1") if proxies.exposed(state, ("shop", name))} == {"gw", "web-1"}


def test_a_port_that_a_service_declares_to_be_http_takes_nothing_else() -> None:
    def ports(app_protocol: str, **pod: object) -> tuple[int, ...]:
        state = make.state()
        declared = make.service_json("web", "10.96.0.1", 80)
        declared["spec"]["ports"][0]["appProtocol"] = app_protocol
        slices = make.endpoint_slice("web", make.endpoint("10.244.0.7", "web", ready=False), port=8080)
        make.put(state, make.pod("web", "10.244.0.7", **pod), msgspec.convert(declared, Service), slices)
        config = proxies.config(state, ("shop", "web"))
        assert config is not None
        return config.inbound_request_ports

    assert ports("http") == ports("grpc") == ports("kubernetes.io/h2c") == (8080,)
    assert ports("") == ports("https") == ports("kubernetes.io/wss") == ()
    assert ports("http", annotations={make.names.OPAQUE_PORTS_ANNOTATION: "8080"}) == ()
