"""Clusters of a lab never share an address, and bad names are refused with a sentence."""

from pathlib import Path

import pytest

from isthmus.lab.topology import FLAT_POD_NETWORK, MAX_CLUSTERS, POD_NETWORK, SERVICE_NETWORK, WAN_NETWORK, clusters
from isthmus.lab.wan import routes

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


def test_only_in_a_flat_lab_have_pods_addresses_of_their_own_and_routes_to_each_other():
    names = tuple(f"c{n}" for n in range(MAX_CLUSTERS))
    same, own = clusters(names, DIR), clusters(names, DIR, flat=True)
    assert {member.pod_network for member in same} == {POD_NETWORK}
    assert [routes(member, same) for member in same] == [[]] * MAX_CLUSTERS
    networks = [member.pod_network for member in own]
    assert len(set(networks)) == MAX_CLUSTERS
    assert all(each.subnet_of(FLAT_POD_NETWORK) and not each.overlaps(SERVICE_NETWORK) for each in networks)
    assert routes(own[0], own[:3]) == [
        "route add 10.129.0.0/16 via 172.30.0.12",
        "route add 10.130.0.0/16 via 172.30.0.13",
    ]


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
