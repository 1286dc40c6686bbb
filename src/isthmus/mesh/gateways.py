"""Where the gateway of a linked cluster answers, and who it must be."""

from typing import Final

from isthmus import names
from isthmus.mesh.model import Address, GatewayCluster, Identity
from isthmus.mesh.state import State
from isthmus.resources.multicluster import Link

_INFIX: Final = ".serviceaccount.identity."
_SPIFFE: Final = "spiffe://"


def resolve(state: State, cluster: str, *, name: str | None = None) -> GatewayCluster | None:
    """The gateway of a linked cluster, as `gateway/<cluster>` or under another name; None without Link or gateway."""
    link = state.link(cluster)
    return gateway(link, name=name) if link else None


def gateway(link: Link, *, name: str | None = None) -> GatewayCluster | None:
    found = identity(link)
    port = _port(link.spec.gateway_port)
    addresses = tuple(sorted({_address(host, port) for host in link.gateway_hosts})) if port else ()
    if found is None or not addresses:
        return None
    return GatewayCluster(name or f"{names.GATEWAY_CLUSTER_PREFIX}{link.cluster}", addresses, found)


def present(state: State, cluster: str) -> bool:
    """Whether the Link to a cluster leads through a gateway; else its network is flat."""
    link = state.link(cluster)
    return link is not None and bool(link.gateway_hosts)


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


def _port(text: str) -> int | None:
    text = text.strip() or str(names.GATEWAY_PORT)
    return int(text) if text.isdecimal() and 0 < int(text) <= 65535 else None


def _address(host: str, port: int) -> Address:
    """`gatewayAddress` may carry a port of its own."""
    name, colon, own = host.rpartition(":")
    if colon and own.isdecimal() and (":" not in name or name.startswith("[")):
        return Address(name.strip("[]"), int(own))
    return Address(host.strip("[]"), port)
