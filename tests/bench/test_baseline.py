"""The baseline differs from the product in what ends where, and in nothing else."""

from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from bench import baseline
from isthmus.envoy import outward, protocol
from isthmus.mesh.model import Address, Identity, ProxyConfig

SERVERS = (Address("10.244.0.7", 8080), Address("10.244.0.8", 8080))
IDENTITY = Identity("east.local", "bench", "server")
CONFIG = ProxyConfig("sidecar", ("10.0.0.0/8",), (25,), (25,))


def options(cluster: object) -> http_protocol_options_pb2.HttpProtocolOptions:
    message = http_protocol_options_pb2.HttpProtocolOptions()
    cluster.typed_extension_protocol_options[protocol.OPTIONS].Unpack(message)  # type: ignore[attr-defined]
    return message


def test_its_client_is_the_deployed_one_on_another_port() -> None:
    listener = baseline.client(SERVERS[0], IDENTITY, CONFIG).listener
    deployed = outward.listener(CONFIG)
    deployed.address.socket_address.port_value = baseline.CLIENT_PORT
    assert listener == deployed


def test_both_its_connections_are_multiplexed_with_the_product_s_windows() -> None:
    expected = protocol.requests_http2(pings=protocol.PING_TIMEOUT)
    for configuration in (baseline.client(SERVERS[0], IDENTITY, CONFIG), baseline.gateway(SERVERS, IDENTITY)):
        assert options(configuration.cluster).explicit_http_config.http2_protocol_options == expected


def test_the_protocol_the_client_spoke_is_noted_once() -> None:
    """Noted again by the gateway, it would be HTTP/2, and the servers' proxies would do something else."""
    assert options(baseline.client(SERVERS[0], IDENTITY, CONFIG).cluster).http_filters
    assert not options(baseline.gateway(SERVERS, IDENTITY).cluster).http_filters


def test_the_gateway_knows_every_server() -> None:
    (group,) = baseline.gateway(SERVERS, IDENTITY).cluster.load_assignment.endpoints
    found = {endpoint.endpoint.address.socket_address.address for endpoint in group.lb_endpoints}
    assert found == {"10.244.0.7", "10.244.0.8"}
