"""Where the gateway of a linked cluster answers, and who it must be."""

from typing import Final

from isthmus import names
from isthmus.mesh.model import Address, GatewayCluster, Identity
from isthmus.mesh.state import State
from isthmus.resources.multicluster import Link

_INFIX: Final = ".serviceaccount.identity."
_SPIFFE: Final = "spiffe://"


def resolve(state: State, cluster: str, *, name: str | None = None, port: int = 0) -> GatewayCluster | None:
    """The gateway of a linked cluster, as `gateway/<cluster>` or under another name; None without Link or gateway.

    `port` is one of the probe Service: some lead to one of the gateway's addresses alone.
    """
    link = state.link(cluster)
    return gateway(link, name=name, port=port) if link else None


def gateway(link: Link, *, name: str | None = None, port: int = 0) -> GatewayCluster | None:
    """All addresses, those that do not answer the controller apart: they are tried when no other one is left."""
    found = identity(link)
    chosen = [item for item in link.gateways if port and item[1].probe_port == port] or link.gateways
    addresses = {Address(*host): each.alive != "False" for host, each in chosen}
    if found is None or not addresses:
        return None
    return GatewayCluster(
        name=name or f"{names.GATEWAY_CLUSTER_PREFIX}{link.cluster}",
        addresses=tuple(sorted(addresses)),
        identity=found,
        silent=frozenset(address for address, alive in addresses.items() if not alive),
    )


def present(state: State, cluster: str) -> bool:
    """Whether the Link to a cluster leads through a gateway; else its network is flat."""
    link = state.link(cluster)
    return link is not None and link.has_gateway


def identity(link: Link) -> Identity | None:
    """Who the gateway is: the account that the Link names, in the trust domain that the target has now."""
    text = link.spec.gateway_identity
    if text.startswith(_SPIFFE):
        domain, _, path = text.removeprefix(_SPIFFE).partition("/")
        match path.split("/"):
            case ["ns", namespace, "sa", account]:
                return Identity(link.trust_domain or domain, namespace, account)
        return None
    account_and_namespace, infix, rest = text.partition(_INFIX)
    account, _, namespace = account_and_namespace.rpartition(".")
    domain = link.trust_domain or rest.partition(".")[2]
    return Identity(domain, namespace, account) if infix and account and namespace and domain else None
