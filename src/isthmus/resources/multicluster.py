"""Links to other clusters, and the clusters that registered their trust domain here."""

import msgspec

from isthmus import names
from isthmus.kube.kinds import Kind
from isthmus.kube.meta import Key, Meta
from isthmus.resources import gateways


class LinkSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What proxies and people are told; the Link controller reads the rest as it is written."""

    target_cluster_name: str = ""
    cluster_credentials_secret: str = ""
    gateway_address: str = ""
    gateway_port: str = ""
    gateway_identity: str = ""


class GatewayStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One address of the gateway, `<ip>:<port>`; `probe_port` is that of the probe Service that leads to it alone."""

    address: str = ""
    alive: str = ""
    probe_port: int = 0


class LinkStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What the controller accepted of what the target says of itself, and where it found the gateway."""

    trust_domain: str = ""
    trust_bundle: str = ""
    gateways: tuple[GatewayStatus, ...] = ()


class Link(msgspec.Struct, frozen=True, gc=False):
    metadata: Meta = Meta()
    spec: LinkSpec = LinkSpec()
    status: LinkStatus = LinkStatus()

    @property
    def cluster(self) -> str:
        """The name that mirrors and gateways of the target go by."""
        return self.spec.target_cluster_name or self.metadata.name

    @property
    def credentials(self) -> Key:
        """The Secret that leads to the target."""
        name = self.spec.cluster_credentials_secret or f"{names.CREDENTIALS_SECRET_PREFIX}{self.cluster}"
        return self.metadata.namespace, name

    @property
    def trust_domain(self) -> str:
        """Accepted, as is the bundle; what a Link's spec says is nobody's business but the controller's."""
        return self.status.trust_domain

    @property
    def trust_bundle(self) -> str:
        return self.status.trust_bundle

    @property
    def has_gateway(self) -> bool:
        """Whether the target is reached through a gateway at all."""
        return bool(self.spec.gateway_address.strip(" ,"))

    @property
    def gateways(self) -> tuple[tuple[gateways.Host, GatewayStatus], ...]:
        """Where the gateway answers: what the controller found, or what is written where it has not looked yet.

        Names that are not looked up yet are left out.
        """
        if not self.has_gateway:
            return ()
        port = gateways.port(self.spec.gateway_port)
        found = [(host, each) for each in self.status.gateways for host in gateways.parse(each.address, port)[0]]
        if not found:
            found = [(host, GatewayStatus()) for host in gateways.parse(self.spec.gateway_address, port)[0]]
        return tuple((host, each) for host, each in found if gateways.address(host.host))


class FederatedTrustDomainStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What the controller accepted; both are empty while nothing is."""

    trust_domain: str = ""
    bundle: str = ""


class FederatedTrustDomain(msgspec.Struct, frozen=True, gc=False):
    """A cluster that links to this one, and the roots that vouch for its workloads.

    What it says of itself is not even read here: others decide about that.
    """

    metadata: Meta = Meta()
    status: FederatedTrustDomainStatus = FederatedTrustDomainStatus()


LINKS = Kind(f"{names.LINK_GROUP}/{names.LINK_VERSION}", "Link", "links", Link)
FEDERATED_TRUST_DOMAINS = Kind(
    f"{names.FEDERATION_GROUP}/{names.FEDERATION_VERSION}",
    "FederatedTrustDomain",
    "federatedtrustdomains",
    FederatedTrustDomain,
)
