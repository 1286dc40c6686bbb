"""A gateway with several addresses: what Envoy is told of them."""

import pytest

from isthmus.envoy import gateway
from isthmus.mesh.model import Address, GatewayCluster, Identity

A, B, C, D = (Address(host, 4143) for host in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"))
SOMEONE = Identity("east.test", "ns", "sa")

Group = list[list[str]]
AT, BT, DT = A.host, B.host, D.host


def groups(*addresses: Address, silent: tuple[Address, ...] = ()) -> list[Group]:
    """By priority: each address, followed by those that are tried if it is not there."""
    made = gateway.load_assignment(GatewayCluster("gateway/east", addresses, SOMEONE, frozenset(silent)))
    found: list[Group] = [[] for _ in {locality.priority for locality in made.endpoints}]
    for locality in made.endpoints:
        (item,) = locality.lb_endpoints
        others = [other.address.socket_address.address for other in item.endpoint.additional_addresses]
        found[locality.priority].append([item.endpoint.address.socket_address.address, *others])
    return found


@pytest.mark.parametrize(
    ("addresses", "silent", "expected"),
    [
        ((A,), (), [[[AT] * 5]]),
        ((A, B), (), [[[AT, BT, AT, BT, AT], [BT, AT, BT, AT, BT]]]),
        ((A, B), (A,), [[[BT, AT, BT, AT, BT]], [[AT, BT, AT, BT, AT]]]),
        ((A,), (A,), [[[AT] * 5]]),
        ((A, D), (), [[[AT, DT, AT, DT, AT], [DT, AT, DT, AT, DT]]]),
    ],
)
def test_other_addresses_are_tried_when_one_is_not_there_then_all_again_and_silent_ones_last(
    addresses: tuple[Address, ...], silent: tuple[Address, ...], expected: list[Group]
) -> None:
    assert groups(*addresses, silent=silent) == expected


def test_what_a_dead_address_leaves_is_spread_over_the_others() -> None:
    (group,) = groups(A, B, C, D)
    assert [tried[1] for tried in group] == ["192.0.2.2", "192.0.2.3", "2001:db8::1", "192.0.2.1"]
