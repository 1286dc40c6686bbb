"""Addresses and cables of pods."""

from ipaddress import IPv4Interface

import pytest

from isthmus.lab.node import network
from isthmus.lab.node.network import AddressPool


def test_a_released_address_is_not_given_out_again_at_once():
    pool = AddressPool("10.244.0.0/29")
    first = pool.allocate()
    pool.release(first)
    assert first == "10.244.0.2"
    assert pool.allocate() == "10.244.0.3"


def test_released_addresses_come_back_after_all_others_and_a_full_pool_says_so():
    pool = AddressPool("10.244.0.0/29")
    taken = [pool.allocate() for _ in range(5)]
    assert taken == [f"10.244.0.{n}" for n in range(2, 7)]
    with pytest.raises(RuntimeError, match="in use"):
        pool.allocate()
    pool.release("10.244.0.4")
    assert pool.allocate() == "10.244.0.4"


def test_a_pod_reaches_everything_through_its_node():
    outside, inside = network.pod_commands("east-1234", address="10.244.0.7", gateway="10.244.0.1")
    assert "addr add 10.244.0.7/32 dev eth0" in inside
    assert inside[-2:] == ["route add 10.244.0.1 dev eth0", "route add default via 10.244.0.1"]
    assert any("master cni0" in line for line in outside)


def test_names_of_interfaces_fit_the_kernel_and_differ():
    names = [network.namespace_of("a-rather-long-cluster-name", f"{n:08x}-1111-4222-8333-444455556666") for n in (1, 2)]
    links = [network.pod_commands(name, address="10.0.0.2", gateway="10.0.0.1")[0][1].split()[2] for name in names]
    assert len(set(links)) == 2
    assert all(len(link) <= 15 for link in links)


def test_the_bridge_of_a_node_keeps_its_mac_address_while_pods_come_and_go():
    """Set by hand, or the bridge takes that of a port, and pods keep sending to one that is gone."""
    _, inside = network.node_commands("n", wan="wan", address=IPv4Interface("172.30.0.11/16"), pod_cidr="10.244.0.0/16")
    assert f"link add {network.BRIDGE} address {network.BRIDGE_MAC} type bridge" in inside
