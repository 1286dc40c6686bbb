"""The cables of a lab: a bridge that stands for the network between clusters, and one node namespace per cluster."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Interface
from typing import Final

from isthmus.lab.node.commands import run
from isthmus.lab.node.network import BRIDGE as POD_BRIDGE
from isthmus.lab.node.network import setup_node
from isthmus.lab.topology import DNS_VIP, SERVICE_NETWORK, WAN_BRIDGE, WAN_GATEWAY, WAN_NETWORK, Cluster

BRIDGE: Final = (
    "link set lo up",
    f"link add {WAN_BRIDGE} type bridge",
    f"addr add {WAN_GATEWAY}/{WAN_NETWORK.prefixlen} dev {WAN_BRIDGE}",
    f"link set {WAN_BRIDGE} up",
)
"""`ip -batch` lines for the lab's own network namespace."""

NODE: Final = (f"addr add {DNS_VIP}/32 dev lo", f"route add {SERVICE_NETWORK} dev {POD_BRIDGE}")
"""`ip -batch` lines for a node, beside what every node has. There is no default route: nothing leaves the lab.

The route lets the node's own processes call services: a packet must have a way to go before its address is translated.
"""


PURE_BRIDGE: Final = ("sysctl", "-eqw", "net.bridge.bridge-nf-call-iptables=0")
"""Where the kernel has bridge filtering, it would translate addresses on the bridge already, before routing: a pod that
reaches itself through a service would then be sent back the way it came, which a bridge does not do."""


async def build(clusters: Sequence[Cluster]) -> None:
    """Lay all cables. Must run in a fresh network namespace with a /run of its own."""
    await run(PURE_BRIDGE)
    await run(["ip", "-batch", "-"], _lines(BRIDGE))
    for cluster in clusters:
        address = IPv4Interface(f"{cluster.node_ip}/{WAN_NETWORK.prefixlen}")
        await setup_node(cluster.namespace, wan=WAN_BRIDGE, address=address, pod_cidr=str(cluster.pod_network))
        await run([*enter(cluster), *PURE_BRIDGE])
        await run(["ip", "-n", cluster.namespace, "-batch", "-"], _lines([*NODE, *routes(cluster, clusters)]))


def routes(cluster: Cluster, clusters: Iterable[Cluster]) -> list[str]:
    """`ip -batch` lines for a node of a flat lab: the pods of each other cluster are behind its node."""
    return [
        f"route add {other.pod_network} via {other.node_ip}" for other in clusters if cluster.flat and other != cluster
    ]


def enter(cluster: Cluster) -> list[str]:
    """What to put before a command, inside the lab, to run it in the cluster's node namespace."""
    return ["nsenter", f"--net=/run/netns/{cluster.namespace}"]


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
