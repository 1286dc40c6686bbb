"""Clusters of a lab never share an address, and bad names are refused with a sentence."""

from pathlib import Path

import pytest

from isthmus.lab.node.network import uplink_of
from isthmus.lab.topology import (
    FLAT_POD_NETWORK,
    MAX_CLUSTERS,
    MAX_NODES,
    POD_NETWORK,
    SERVICE_NETWORK,
    WAN_NETWORK,
    clusters,
)
from isthmus.lab.wan import routes

DIR = Path("/lab")


def test_every_cluster_has_addresses_of_its_own_on_the_wan():
    members = clusters(tuple(f"c{n}" for n in range(MAX_CLUSTERS)), DIR)
    assert len({member.control.ip for member in members}) == MAX_CLUSTERS
    pools = [member.load_balancer_network for member in members]
    assert all(pool.subnet_of(WAN_NETWORK) for pool in pools)
    assert not any(one.overlaps(other) for one in pools for other in pools if one is not other)
    assert not any(SERVICE_NETWORK.overlaps(pool) for pool in pools)


def test_the_first_two_clusters_are_where_the_documentation_says():
    east, west = clusters(("cluster-east", "cluster-west"), DIR)
    assert (east.control.ip, str(east.load_balancer_network)) == ("172.30.0.11", "172.30.10.0/24")
    assert (west.control.ip, str(west.load_balancer_network)) == ("172.30.0.12", "172.30.11.0/24")
    assert west.nodes[0].kubelet_socket == DIR / "cluster-west" / "kubelet.sock"


def test_only_in_a_flat_lab_have_pods_addresses_of_their_own_and_routes_to_each_other():
    names = tuple(f"c{n}" for n in range(MAX_CLUSTERS))
    same, own = clusters(names, DIR), clusters(names, DIR, flat=True)
    assert {member.pod_network for member in same} == {POD_NETWORK}
    assert [routes(member.control, same) for member in same] == [[]] * MAX_CLUSTERS
    networks = [member.pod_network for member in own]
    assert len(set(networks)) == MAX_CLUSTERS
    assert all(each.subnet_of(FLAT_POD_NETWORK) and not each.overlaps(SERVICE_NETWORK) for each in networks)
    assert routes(own[0].control, own[:3]) == [
        "route add 10.129.0.0/16 via 172.30.0.12",
        "route add 10.130.0.0/16 via 172.30.0.13",
    ]


def test_nodes_of_a_cluster_have_parts_of_its_pod_network_and_a_control_plane_beside_them():
    east, west = clusters(("cluster-east", "cluster-west"), DIR, nodes=3)
    assert (west.control.ip, west.control.is_node) == ("172.30.0.12", False)
    assert [(node.name, node.ip, str(node.pod_network)) for node in west.nodes] == [
        ("cluster-west-1", "172.30.101.11", "10.244.1.0/24"),
        ("cluster-west-2", "172.30.101.12", "10.244.2.0/24"),
        ("cluster-west-3", "172.30.101.13", "10.244.3.0/24"),
    ]
    assert routes(west.nodes[0], (east, west)) == [
        "route add 10.244.2.0/24 via 172.30.101.12",
        "route add 10.244.3.0/24 via 172.30.101.13",
    ]
    machines = [machine for cluster in (east, west) for machine in cluster.machines]
    for field in ("name", "ip", "namespace"):
        assert len({getattr(machine, field) for machine in machines}) == 8


def test_no_two_machines_of_the_largest_lab_share_an_address_or_a_cable():
    members = clusters(tuple(f"c{n}x" for n in range(MAX_CLUSTERS)), DIR, nodes=MAX_NODES)
    machines = [machine for member in members for machine in member.machines]
    assert len({machine.ip for machine in machines}) == len(machines)
    cables = {uplink_of(machine.namespace) for machine in machines}
    assert len(cables) == len(machines)
    assert max(map(len, cables)) < 16
    networks = [network for member in members for network in member.networks]
    assert sum(network.num_addresses for network in networks) == len(set().union(*map(set, networks)))


def test_a_number_of_nodes_that_cannot_be_is_refused():
    for nodes in (0, MAX_NODES + 1):
        with pytest.raises(ValueError, match="1 to 16 nodes"):
            clusters(("a",), DIR, nodes=nodes)
    with pytest.raises(ValueError, match="a cluster and a node of east"):
        clusters(("east", "east-2"), DIR, nodes=2)


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
