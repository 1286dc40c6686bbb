"""The shape of a lab: which cluster has which addresses, files and names. Pure arithmetic, no I/O."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

WAN_BRIDGE: Final = "wan"
WAN_GATEWAY: Final = "172.30.0.1"
WAN_NETWORK: Final = IPv4Network("172.30.0.0/16")
"""Nodes and load-balancer addresses: all that one cluster sees of another."""

POD_NETWORK: Final = IPv4Network("10.244.0.0/16")
SERVICE_NETWORK: Final = IPv4Network("10.96.0.0/16")
"""The same in every cluster, on purpose: what links clusters must not need distinct addresses."""
FLAT_POD_NETWORK: Final = IPv4Network("10.128.0.0/10")
"""Holds the pods of all clusters of a flat lab, where pods reach the pods of other clusters by their own addresses."""

API_VIP: Final = "10.96.0.1"
DNS_VIP: Final = "10.96.0.10"
API_PORT: Final = 6443
CLUSTER_DOMAIN: Final = "cluster.local"
MAX_CLUSTERS: Final = 64
MAX_NODES: Final = 16

HEARTBEAT: Final = 1.0
"""Nodes of a cluster with several say so often that they live, in seconds."""

NODE_PORTS: Final = range(30000, 32768)

SOCKET: Final = "kubelet.sock"

_NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster of a lab, by its position among the others."""

    name: str
    index: int
    lab_dir: Path
    flat: bool = False
    size: int = 1
    """How many nodes it has."""

    @property
    def several(self) -> bool:
        return self.size > 1

    @property
    def nodes(self) -> tuple["Machine", ...]:
        return tuple(Machine(self, number + 1) for number in range(self.size))

    @property
    def control(self) -> "Machine":
        """Where the API server and the controllers are. A machine of its own where there are several nodes."""
        return Machine(self, 0 if self.several else 1)

    @property
    def machines(self) -> tuple["Machine", ...]:
        return (self.control, *self.nodes) if self.several else self.nodes

    @property
    def pod_network(self) -> IPv4Network:
        return IPv4Network(f"10.{128 + self.index}.0.0/16") if self.flat else POD_NETWORK

    @property
    def routed_network(self) -> IPv4Network | None:
        """Where its pods keep their addresses when they leave their node; None: nowhere."""
        return FLAT_POD_NETWORK if self.flat else POD_NETWORK if self.several else None

    @property
    def load_balancer_network(self) -> IPv4Network:
        return IPv4Network(f"172.30.{10 + self.index}.0/24")

    @property
    def networks(self) -> tuple[IPv4Network, ...]:
        """All its addresses on the network between clusters."""
        nodes = (IPv4Network(f"172.30.{100 + self.index}.0/24"),) if self.several else ()
        return (IPv4Network(self.control.ip), self.load_balancer_network, *nodes)

    @property
    def dir(self) -> Path:
        return self.lab_dir / self.name

    @property
    def data_dir(self) -> Path:
        return self.dir / "data"

    @property
    def pki_dir(self) -> Path:
        return self.dir / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The cluster's administrator as seen from inside the lab."""
        return self.dir / "kubeconfig"

    @property
    def kubelet_socket(self) -> str:
        """The path of a node's kubelet socket; `{node}` stands for the node's name where there are several."""
        return str(self.dir / "{node}" / SOCKET) if self.several else str(self.dir / SOCKET)

    @property
    def server(self) -> str:
        return f"https://{self.control.ip}:{API_PORT}"


@dataclass(frozen=True, slots=True)
class Machine:
    """A network namespace with an address between the clusters: a node, the control plane (number 0), or both."""

    cluster: Cluster
    number: int

    @property
    def is_control(self) -> bool:
        return self == self.cluster.control

    @property
    def is_node(self) -> bool:
        return self.number > 0

    @property
    def name(self) -> str:
        return f"{self.cluster.name}-{self.number}" if self.is_node else f"{self.cluster.name}-control-plane"

    @property
    def process(self) -> str:
        """The name of its node process."""
        return self.name if self.cluster.several else "node"

    @property
    def ip(self) -> str:
        if self.is_control:
            return str(IPv4Address("172.30.0.11") + self.cluster.index)
        return str(IPv4Address(f"172.30.{100 + self.cluster.index}.10") + self.number)

    @property
    def pod_network(self) -> IPv4Network:
        """The part of the cluster's pod network that is on this node."""
        whole = self.cluster.pod_network
        return IPv4Network((int(whole[0]) + 256 * self.number, 24)) if self.cluster.several else whole

    @property
    def namespace(self) -> str:
        """Its network namespace, as `ip netns` names it inside the lab. Short: interfaces are named after it."""
        if not self.is_node:
            return f"control-{self.cluster.index}"
        return f"node-{self.cluster.index}" + (f"-n{self.number}" if self.cluster.several else "")

    @property
    def dir(self) -> Path:
        return self.cluster.dir / self.name if self.cluster.several else self.cluster.dir

    @property
    def kubelet_socket(self) -> Path:
        return self.dir / SOCKET


def clusters(names: tuple[str, ...], lab_dir: Path, *, flat: bool = False, nodes: int = 1) -> tuple[Cluster, ...]:
    """The clusters of a lab, each with so many nodes; ValueError says what is wrong with the names or the number."""
    if not names:
        raise ValueError("A lab needs at least one cluster: name some with --clusters cluster-east,cluster-west.")
    if len(names) > MAX_CLUSTERS:
        raise ValueError(f"A lab holds {MAX_CLUSTERS} clusters at most, {len(names)} were asked for: name fewer.")
    if not 1 <= nodes <= MAX_NODES:
        raise ValueError(f"A cluster has 1 to {MAX_NODES} nodes, {nodes} were asked for.")
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot be a cluster's name: use up to 40 lower-case letters, digits and dashes, "
                "starting with a letter."
            )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{repeated[0]!r} is named twice: every cluster needs a name of its own.")
    made = tuple(Cluster(name, index, lab_dir, flat, nodes) for index, name in enumerate(names))
    if taken := sorted({node.name for cluster in made for node in cluster.nodes} & set(names)):
        owner = taken[0].rpartition("-")[0]
        raise ValueError(f"{taken[0]!r} would be a cluster and a node of {owner}: give the cluster another name.")
    return made
