"""How late packets come between two clusters, which do not come, and which way they take."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isthmus.lab import orders, relay
from isthmus.lab.config import LabError, Record
from isthmus.lab.faults import Faults, Wan, pair
from isthmus.lab.relay import Direction
from isthmus.lab.topology import clusters

ENDS = ("east", "west")
MEMBERS = clusters(("east", "west", "north"), Path("/lab"))
FLAT = clusters(("east", "west", "north"), Path("/lab"), flat=True)
MIDDLE = lambda: 0.5  # noqa: E731


def wan(**how):
    return Wan(between=ENDS, **how)


def test_a_packet_takes_the_delay_each_way():
    assert Direction(wan(delay=0.04)).arrival(10.0, 1500, MIDDLE) == pytest.approx(10.04)


@settings(max_examples=25, deadline=None)
@given(
    chances=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30),
    jitter=st.floats(0, 0.1),
    delay=st.floats(0, 0.1),
)
def test_packets_come_in_their_order_within_the_jitter(chances, jitter, delay):
    direction = Direction(wan(delay=delay, jitter=jitter))
    arrivals = [direction.arrival(n * 0.001, 100, lambda c=c: c) for n, c in enumerate(chances)]
    assert arrivals == sorted(arrivals)
    for n, arrival in enumerate(arrivals):
        assert n * 0.001 + max(0, delay - jitter) - 1e-9 <= arrival <= n * 0.001 + delay + jitter + 1e-9


def test_a_share_of_packets_is_lost():
    direction = Direction(wan(loss=0.25))
    assert direction.arrival(0.0, 100, lambda: 0.24) is None
    assert direction.arrival(0.0, 100, lambda: 0.25) == 0.0


def test_no_packet_crosses_a_partition():
    assert Direction(wan(partition=True)).arrival(0.0, 100, MIDDLE) is None


@settings(max_examples=25, deadline=None)
@example(sizes=[1500] * 60, rate=1e6)
@given(sizes=st.lists(st.integers(40, 1500), max_size=60), rate=st.floats(1e5, 1e9))
def test_a_limited_network_carries_its_rate_and_no_more(sizes, rate):
    direction = Direction(wan(rate=rate))
    arrivals = [direction.arrival(0.0, size, MIDDLE) for size in sizes]
    carried = sum(size for size, arrival in zip(sizes, arrivals, strict=True) if arrival is not None)
    last = max((arrival for arrival in arrivals if arrival is not None), default=0.0)
    assert last == pytest.approx(carried * 8 / rate)
    assert last <= relay.QUEUE_SECONDS + 1500 * 8 / rate + 1e-9


@pytest.mark.parametrize(
    ("members", "address", "name"),
    [
        (MEMBERS, "172.30.0.12", "west"),
        (MEMBERS, "172.30.12.9", "north"),
        (FLAT, "10.129.3.4", "west"),
        (MEMBERS, "172.30.0.1", ""),
    ],
)
def test_an_address_belongs_to_its_cluster(members, address, name):
    assert relay.home(IPv4Address(address), members) == name


def test_only_the_chosen_pair_goes_the_long_way_and_back_again_when_healed():
    east = MEMBERS[0]
    assert relay.routes(east, MEMBERS, [wan(delay=1.0)]) == [
        "route replace 172.30.0.12/32 via 172.30.0.1",
        "route replace 172.30.11.0/24 via 172.30.0.1",
        "route replace 172.30.0.13/32 dev eth0",
        "route replace 172.30.12.0/24 dev eth0",
    ]
    assert not any("via" in line for line in relay.routes(east, MEMBERS, []))


def test_pods_of_a_flat_lab_are_as_far_as_their_clusters():
    assert "route replace 10.129.0.0/16 via 172.30.0.1" in relay.routes(FLAT[0], FLAT, [wan(delay=1.0)])
    assert "route replace 10.129.0.0/16 via 172.30.0.12" in relay.routes(FLAT[0], FLAT, [])


def test_what_is_said_of_a_pair_replaces_what_was_said_whichever_comes_first():
    faults = Faults().with_wan([wan(delay=1.0)]).with_wan([Wan(between=("west", "east"), loss=0.1)])
    assert [(one.delay, one.loss) for one in faults.wan] == [(0.0, 0.1)]
    assert faults.without_wan([pair(*ENDS)]) == Faults()


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (orders.seconds, "40ms", 0.04),
        (orders.seconds, "1.5s", 1.5),
        (orders.bits, "100mbit", 1e8),
        (orders.share, "0.5%", 0.005),
    ],
)
def test_quantities_are_read_with_their_units(read, text, value):
    assert read(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("read", "text"), [(orders.seconds, "40"), (orders.seconds, "-1ms"), (orders.bits, "1mb"), (orders.share, "101%")]
)
def test_a_quantity_that_is_none_is_named(read, text):
    with pytest.raises(ValueError, match=f"'{text}'"):
        read(text)


def test_every_two_of_the_named_clusters_are_meant():
    record = Record(clusters=["a", "b", "c"], ports={})
    assert orders.pairs(record, ["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "c")]
    with pytest.raises(LabError, match="'x'"):
        orders.pairs(record, ["a", "x"])
    with pytest.raises(LabError, match="between two"):
        orders.pairs(record, ["a", "a"])
