"""What one proxy may reach, as plain frozen values: the language between Kubernetes objects and Envoy resources.

Everything here is hashable and compared by value, so a resource is rebuilt exactly when its model changed.
"""

from dataclasses import dataclass
from typing import Final, Literal

from isthmus import names

SPILL_BELOW: Final = 50
"""Percent of a group's endpoints that must be ready for it to carry all traffic; with fewer, the rest goes on.

A Deployment that is updated with Kubernetes' default strategy has at least as many ready among its pods, whatever its
size: at the worst one old pod that is ready and one new that is not.
"""
PLAIN: Final = "plain"
"""The transport of an endpoint that has no proxy."""


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """A workload's SPIFFE identity."""

    trust_domain: str
    namespace: str
    service_account: str

    @property
    def spiffe_id(self) -> str:
        return names.spiffe_id(self.trust_domain, self.namespace, self.service_account)

    @property
    def dns_name(self) -> str:
        """Linkerd's name for the same identity."""
        return names.identity_name(self.trust_domain, self.namespace, self.service_account)


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """An IP address (or, for gateways, a DNS name) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One pod that answers for a service.

    `identity` None means that the pod has no proxy: it is dialled in plain text (through a gateway, the tunnel is
    encrypted up to the gateway). `gateway` is the linked cluster whose gateway leads to it, None for one that is
    dialled directly. `backend` is the service for which it answers, where a TrafficSplit names several.
    `cluster` is the linked cluster in which it runs, and `namespace` and `service` are what it answers for there; all
    three are "" for a pod of this cluster. `owner` is what made the pod, as `deployment/web`, where that is known.
    One that is not `ready` gets no traffic, but counts as one of its group that could not take its part of it.
    """

    address: Address
    identity: Identity | None
    gateway: str | None = None
    pod: str = ""
    weight: int = 1
    backend: str = ""
    cluster: str = ""
    namespace: str = ""
    service: str = ""
    owner: str = ""
    ready: bool = True


Peer = tuple[Identity | None, bool]
"""Who answers (None: no proxy), and whether a gateway leads there: what a connection depends on besides the address."""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a service, as the client names it."""

    namespace: str
    name: str
    port: int

    def __str__(self) -> str:
        return f"{self.name}.{self.namespace}:{self.port}"


@dataclass(frozen=True, slots=True)
class OutboundCluster:
    """What an original destination resolves to.

    `priorities` are groups of endpoints in failover order, the first preferred; a group may be empty.
    `target_cluster` is the name of the linked cluster for a mirror service, "" for a service of this cluster and for a
    federated one, whose endpoints say each for itself where they are.
    `opaque` destinations are plain byte streams: no protocol detection, no HTTP.
    `server_name` is the TLS server name to present instead of the service's own: names.GATEWAY_SNI where the
    endpoints are gateways that are asked themselves, as a probe does.
    `shared`: the first group is several backends, and the sum of their endpoints' weights is the share of each.
    `spill_below` is the percentage of a group's endpoints that must be ready for the group to carry everything.
    `returning` is, for each group, how much of the traffic (in percent) it is given while groups before a standby come
    back, and empty when nothing is held back; see `failback`.
    `former` are peers that answered before and may come back; see `splits.following`.
    `provisional`: the linked cluster was not heard, so this is for proxies that know nothing better.
    """

    name: str
    service: ServicePort
    priorities: tuple[tuple[Endpoint, ...], ...]
    target_cluster: str = ""
    opaque: bool = False
    server_name: str = ""
    shared: bool = False
    spill_below: int = SPILL_BELOW
    returning: tuple[int, ...] = ()
    former: frozenset[Peer] = frozenset()
    provisional: bool = False

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(endpoint for group in self.priorities for endpoint in group)

    @property
    def peers(self) -> frozenset[Peer]:
        """Whom a proxy must be able to meet."""
        return self.former.union((endpoint.identity, endpoint.gateway is not None) for endpoint in self.endpoints)

    @property
    def meshed(self) -> bool:
        """Whether every endpoint has a proxy, so that requests can share one HTTP/2 connection per endpoint."""
        peers = self.peers
        return bool(peers) and all(identity is not None for identity, _ in peers)


@dataclass(frozen=True, slots=True)
class ExportCluster:
    """One endpoint of an exported service, as a gateway reaches it."""

    name: str
    address: Address


@dataclass(frozen=True, slots=True)
class GatewayCluster:
    """The gateway of a linked cluster: where it answers (IP addresses) and who it must be.

    `silent` are those of its addresses that do not answer: they are tried when no other one is left.
    """

    name: str
    addresses: tuple[Address, ...]
    identity: Identity
    silent: frozenset[Address] = frozenset()


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """The roots (PEM, one or more certificates) that vouch for one trust domain."""

    trust_domain: str
    roots: str


@dataclass(frozen=True, slots=True)
class Trust:
    """Bundles under one SDS name, sorted by trust domain, one per domain."""

    name: str
    bundles: tuple[TrustBundle, ...]


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """What the listeners of one proxy depend on; proxies with equal values share their bytes.

    `cluster_networks` are CIDRs: destinations outside them pass through without asking the control plane.
    `inbound_request_ports` are the pod's ports that were declared to be HTTP: nothing else is let in there.
    `sampling` is how many of a million traces begin here; None where the proxy makes no spans.
    `probe_paths`: where kubelet asks the application how it is, which is no request of anybody's.
    """

    role: Literal["sidecar", "gateway"]
    cluster_networks: tuple[str, ...]
    inbound_opaque_ports: tuple[int, ...]
    outbound_opaque_ports: tuple[int, ...]
    inbound_request_ports: tuple[int, ...] = ()
    access_log: Literal["", "apache", "json"] = ""
    sampling: int | None = None
    probe_paths: tuple[str, ...] = ()
