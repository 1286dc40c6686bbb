"""Two clusters that were installed with the same root, and so are one trust domain, as with Linkerd."""

import pytest

from isthmus.kube import pki
from isthmus.multicluster import acceptance

from .clusters import NAMESPACE, Cluster, Gateway

pytestmark = pytest.mark.asyncio


async def test_clusters_with_the_same_anchors_share_them_and_register_nothing(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    west.trust_domain = east.trust_domain
    await west.publish_roots(east.roots)
    async with east.controller(), west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.condition("TrustEstablished") == "True Established")
        assert "share trust domain east.example and a root" in west.message("TrustEstablished")
        assert await west.until(lambda: west.link_status().get("trustDomain")) == east.trust_domain
        assert not east.all("FederatedTrustDomain")


async def test_the_same_domain_with_another_root_is_named_for_what_it_is(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    west.trust_domain = east.trust_domain
    await west.publish_roots(pki.make_root("another").cert_pem)
    async with east.controller(), west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.condition("TrustEstablished") == "False RegistrationRefused")
        assert "shares no root with it" in west.message("TrustEstablished")
        assert (NAMESPACE, west.trust_domain) not in east.all("FederatedTrustDomain")


async def test_each_side_hears_which_of_its_roots_the_other_accepts(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    """What `linkerd rotate root` waits for, on either side."""
    async with east.controller(), west.controller(gateway.url):
        await west.link(east)
        wanted = await publish_another(east)
        await east.until(lambda: east.registration("west")["spec"].get("acceptedRoots") == wanted)
        accepted = await publish_another(west)
        await west.until(lambda: west.link_status().get("registeredRoots") == accepted)


async def publish_another(cluster: Cluster) -> str:
    """A second root beside the first; the fingerprints of both."""
    await cluster.publish_roots(cluster.roots + pki.make_root("next").cert_pem)
    return acceptance.fingerprints(cluster.roots)
