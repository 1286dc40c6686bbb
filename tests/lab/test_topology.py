"""Clusters of a lab never share an address, and bad names are refused with a sentence."""

from pathlib import Path

import pytest

from isthmus.lab.topology import MAX_CLUSTERS, SERVICE_NETWORK, WAN_NETWORK, clusters

DIR = Path("/lab")


def test_every_cluster_has_addresses_of_its_own_on_the_wan():
    members = clusters(tuple(f"c{n}" for n in range(MAX_CLUSTERS)), DIR)
    assert len({member.node_ip for member in members}) == MAX_CLUSTERS
    pools = [member.load_balancer_network for member in members]
    assert all(pool.subnet_of(WAN_NETWORK) for pool in pools)
    assert not any(one.overlaps(other) for one in pools for other in pools if one is not other)
    assert not any(SERVICE_NETWORK.overlaps(pool) for pool in pools)


def test_the_first_two_clusters_are_where_the_documentation_says():
    east, west = clusters(("cluster-east", "cluster-west"), DIR)
    assert (east.node_ip, str(east.load_balancer_network)) == ("172.30.0.11", "172.30.10.0/24")
    assert (west.node_ip, str(west.load_balancer_network)) == ("172.30.0.12", "172.30.11.0/24")
    assert west.kubelet_socket == DIR / "cluster-west" / "kubelet.sock"


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ((), "at least one"),
        (("East",), "cannot be"),
        (("../east",), "cannot be"),
        (("a" * 41,), "cannot be"),
        (("a", "b", "a"), "named twice"),
        (tuple(f"c{n}" for n in range(MAX_CLUSTERS + 1)), "at most"),
    ],
)
def test_bad_names_are_refused(names, complaint):
    with pytest.raises(ValueError, match=complaint):
        clusters(names, DIR)
