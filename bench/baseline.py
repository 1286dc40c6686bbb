"""The baseline: a gateway of the same Envoy that ends TLS and HTTP/2 and starts them again, and a client for it.

Everything is made by the same builders as the product's own resources, with less rather than more on the way. The
client's listener is the deployed one on another port; to it, the gateway is an endpoint like any other with a proxy.
Both Envoys run beside a pod's own proxy, under its user, with its certificate, trust and bootstrap.
"""

import json
import subprocess
from dataclasses import dataclass
from typing import Any, Final

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from bench.cluster import NAMESPACE, Cluster
from bench.processes import BASELINE_CONFIG
from isthmus import names
from isthmus.envoy import chains, outbound, outward, protocol, requests, tls, wire
from isthmus.mesh.model import Address, Endpoint, Identity, OutboundCluster, ProxyConfig, ServicePort

GATEWAY_PORT: Final = 4150
CLIENT_PORT: Final = 4160
_SERVERS: Final = "servers"
_FOLDER: Final = BASELINE_CONFIG.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Baseline:
    """The two Envoys' configurations."""

    gateway: "Configuration"
    client: "Configuration"


@dataclass(frozen=True, slots=True)
class Configuration:
    listener: Message
    cluster: Message


def gateway(servers: tuple[Address, ...], identity: Identity) -> Configuration:
    """Requests from any client the mesh trusts, over HTTP/2 and mutual TLS, to the servers over the same."""
    backends = tuple(Endpoint(address, identity) for address in servers)
    model = OutboundCluster(_SERVERS, ServicePort(NAMESPACE, "server", 8080), (backends,))
    manager = requests.connection_manager(
        stat_prefix="l7-gateway",
        routes=[
            route_components_pb2.Route(
                match=route_components_pb2.RouteMatch(prefix="/"),
                route=route_components_pb2.RouteAction(cluster=_SERVERS, timeout=wire.seconds(0)),
            )
        ],
        http2=protocol.requests_http2(pings=False),
        upgrades=("websocket",),
    )
    chain = chains.chain(
        "l7-gateway",
        manager,
        transport=tls.server_context(alpn=("h2",)),
        server_names=[f"*.{names.MESH_SNI_SUFFIX}"],
        transport_protocol="tls",
    )
    listener = chains.listener(
        name="l7-gateway",
        port=GATEWAY_PORT,
        direction="INBOUND",
        filters=[chains.tls_inspector()],
        chains=[chain],
        default=None,
    )
    return Configuration(listener, _keeping_protocol_header(_static(model)))


def client(gateway_address: Address, identity: Identity, config: ProxyConfig) -> Configuration:
    """The product's outbound listener, and the gateway as the one endpoint of a destination."""
    listener = outward.listener(config)
    listener.address.socket_address.port_value = CLIENT_PORT
    model = OutboundCluster(
        f"{names.OUTBOUND_CLUSTER_PREFIX}{gateway_address}",
        ServicePort(NAMESPACE, "l7-gateway", GATEWAY_PORT),
        ((Endpoint(gateway_address, identity),),),
    )
    return Configuration(listener, _static(model))


def start(cluster: Cluster, pod: str, configuration: Configuration) -> subprocess.Popen[bytes]:
    """Run an Envoy with this configuration beside the pod's own; it listens soon."""
    own = json.loads(cluster.execute(pod, names.PROXY_CONTAINER, "cat", f"{names.IDENTITY_DIR}/envoy.json"))
    own["admin"]["address"]["socket_address"]["port_value"] = names.ENVOY_ADMIN_PORT + 1
    own["dynamic_resources"]["lds_config"] = _file("listeners")
    own["dynamic_resources"]["cds_config"] = _file("clusters")
    files = {
        f"{_FOLDER}/listeners.json": _response(configuration.listener),
        f"{_FOLDER}/clusters.json": _response(configuration.cluster),
        BASELINE_CONFIG: own,
    }
    for path, content in files.items():
        cluster.execute(pod, names.PROXY_CONTAINER, "sh", "-c", f"cat > {path}", stdin=json.dumps(content))
    words = ["envoy", "-c", BASELINE_CONFIG, "--concurrency", "1", "--disable-hot-restart", "-l", "warn"]
    return cluster.started(pod, names.PROXY_CONTAINER, *words)


def redirection() -> str:
    """The nftables script that leads a pod's requests to the baseline gateway into the baseline client.

    The same hook and the same work as the product's own redirection, which leaves this port alone.
    """
    return f"""table ip bench
delete table ip bench
table ip bench {{
    chain outbound {{
        type nat hook output priority -101; policy accept;
        meta skuid {names.PROXY_UID} return
        meta l4proto tcp tcp dport {GATEWAY_PORT} redirect to :{CLIENT_PORT}
    }}
}}
"""


def _static(model: OutboundCluster) -> Any:
    """The builders' cluster with its endpoints inside: no control plane is asked."""
    message = outbound.cluster(model)
    message.type = cluster_pb2.Cluster.STATIC
    message.ClearField("eds_cluster_config")
    message.load_assignment.CopyFrom(outbound.load_assignment(model))
    return message


def _keeping_protocol_header(message: Any) -> Any:
    """The client's proxy has noted the protocol of the request already; noting it again would overwrite that."""
    packed = message.typed_extension_protocol_options[protocol.OPTIONS]
    options = http_protocol_options_pb2.HttpProtocolOptions()
    packed.Unpack(options)
    options.ClearField("http_filters")
    packed.Pack(options)
    return message


def _file(name: str) -> dict[str, Any]:
    return {"path_config_source": {"path": f"{_FOLDER}/{name}.json"}, "resource_api_version": "V3"}


def _response(resource: Message) -> dict[str, Any]:
    content = MessageToDict(resource, preserving_proto_field_name=True)
    return {"resources": [{"@type": wire_type(resource), **content}]}


def wire_type(resource: Message) -> str:
    return f"type.googleapis.com/{resource.DESCRIPTOR.full_name}"
