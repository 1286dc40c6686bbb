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

NODE_PORTS: Final = range(30000, 32768)

_NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster of a lab, by its position among the others."""

    name: str
    index: int
    lab_dir: Path
    flat: bool = False

    @property
    def pod_network(self) -> IPv4Network:
        return IPv4Network(f"10.{128 + self.index}.0.0/16") if self.flat else POD_NETWORK

    @property
    def node_ip(self) -> str:
        return str(IPv4Address("172.30.0.11") + self.index)

    @property
    def load_balancer_network(self) -> IPv4Network:
        return IPv4Network(f"172.30.{10 + self.index}.0/24")

    @property
    def namespace(self) -> str:
        """The node's network namespace, as `ip netns` names it inside the lab. Short: interfaces are named after it."""
        return f"node-{self.index}"

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
        """The cluster's administrator as seen from inside the lab: the API server by the node's address."""
        return self.dir / "kubeconfig"

    @property
    def kubelet_socket(self) -> Path:
        return self.dir / "kubelet.sock"

    @property
    def server(self) -> str:
        return f"https://{self.node_ip}:{API_PORT}"

    @property
    def node_name(self) -> str:
        return f"{self.name}-node"


def clusters(names: tuple[str, ...], lab_dir: Path, *, flat: bool = False) -> tuple[Cluster, ...]:
    """The clusters of a lab; ValueError says what is wrong with the names."""
    if not names:
        raise ValueError("A lab needs at least one cluster: name some with --clusters cluster-east,cluster-west.")
    if len(names) > MAX_CLUSTERS:
        raise ValueError(f"A lab holds {MAX_CLUSTERS} clusters at most, {len(names)} were asked for: name fewer.")
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot be a cluster's name: use up to 40 lower-case letters, digits and dashes, "
                "starting with a letter."
            )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{repeated[0]!r} is named twice: every cluster needs a name of its own.")
    return tuple(Cluster(name, index, lab_dir, flat) for index, name in enumerate(names))
