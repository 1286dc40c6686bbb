"""The listeners of one proxy: to the world, from the world, and the inner end of the tunnels."""

from typing import Any

from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from isthmus.envoy import chains, inward, outward
from isthmus.envoy.bootstrap import PASSTHROUGH_CLUSTER, TUNNEL_LISTENER
from isthmus.envoy.outbound import TUNNEL_METADATA
from isthmus.mesh.model import ProxyConfig


def listeners(config: ProxyConfig) -> list[Any]:
    """All listeners of a proxy, to be sent by LDS."""
    return [outward.listener(config), inward.listener(config), tunnel()]


def tunnel() -> Any:
    """An internal listener: each connection to it becomes a CONNECT stream to a gateway.

    The endpoint's metadata says which gateway and which authority; gateways, too, are asked for on demand.
    """
    connect = chains.tcp_proxy(
        stat_prefix="tunnel",
        cluster=PASSTHROUGH_CLUSTER,
        on_demand=outward.on_demand(),
        tunneling_config=tcp_proxy_pb2.TcpProxy.TunnelingConfig(
            hostname=f"%DYNAMIC_METADATA({TUNNEL_METADATA}:authority)%"
        ),
    )
    choose = outward.cluster_from(f"%DYNAMIC_METADATA({TUNNEL_METADATA}:gateway)%")
    return listener_pb2.Listener(
        name=TUNNEL_LISTENER,
        internal_listener=listener_pb2.Listener.InternalListenerConfig(),
        filter_chains=[chains.chain("tunnel", choose, connect)],
    )
