"""The cables of a lab: a bridge that stands for the network between clusters, and each machine's namespace."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Interface
from typing import Final

from isthmus.lab.node.commands import run
from isthmus.lab.node.network import BRIDGE as POD_BRIDGE
from isthmus.lab.node.network import setup_node, uplink_of
from isthmus.lab.topology import DNS_VIP, SERVICE_NETWORK, WAN_BRIDGE, WAN_GATEWAY, WAN_NETWORK, Cluster, Machine

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
        for machine in cluster.machines:
            await _connect(machine, clusters)


async def _connect(machine: Machine, clusters: Sequence[Cluster]) -> None:
    address = IPv4Interface(f"{machine.ip}/{WAN_NETWORK.prefixlen}")
    pods = str(machine.pod_network) if machine.is_node else ""
    await setup_node(machine.namespace, wan=WAN_BRIDGE, address=address, pod_cidr=pods)
    await run([*enter(machine), *PURE_BRIDGE])
    if lines := [*(NODE if machine.is_node else ()), *routes(machine, clusters)]:
        await run(["ip", "-n", machine.namespace, "-batch", "-"], _lines(lines))


def routes(machine: Machine, clusters: Iterable[Cluster]) -> list[str]:
    """`ip -batch` lines: pods are behind their node, those of the same cluster, and in a flat lab all."""
    return [
        f"route add {node.pod_network} via {node.ip}"
        for cluster in clusters
        if cluster == machine.cluster or cluster.flat
        for node in cluster.nodes
        if node != machine
    ]


def enter(machine: Machine) -> list[str]:
    """What to put before a command, inside the lab, to run it in a machine's network namespace."""
    return ["nsenter", f"--net=/run/netns/{machine.namespace}"]


async def plug(machine: Machine, *, plugged: bool) -> None:
    """Connect a machine with the bridge, or cut it off: its own end of the cable looks well all the time."""
    where = ["master", WAN_BRIDGE] if plugged else ["nomaster"]
    await run(["ip", "link", "set", uplink_of(machine.namespace), *where])


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
