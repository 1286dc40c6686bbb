"""What a TrafficSplit does to where requests go."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mesh import objects as make

from isthmus.mesh import outbound, splits
from isthmus.mesh.model import Address, Endpoint, OutboundCluster
from isthmus.mesh.state import Remote, State
from isthmus.mesh.workloads import workload
from isthmus.resources.splits import Backend, TrafficSplit

ROOT = "outbound/10.96.0.5:80"
WEST = ("west", "shop", "web")
DOMAIN = "root-2.cluster.local"


def split(*backends: tuple[str, Any], service: str = "web", **metadata: Any) -> TrafficSplit:
    return make.split(service, *backends, **metadata)


@pytest.fixture
def state() -> State:
    """A service of its own, `web`, and its mirror, `web-west`, whose cluster has not been heard."""
    made = make.state()
    metadata = make.mirror_metadata("west", "web.shop.svc.cluster.local")
    make.put(made, make.link("west", trust_domain=DOMAIN), make.service("web-west", "10.96.0.9", 80, **metadata))
    make.put(made, make.service("web", "10.96.0.5", 80), make.pod("web-1", "10.244.0.7"))
    make.put(made, make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1")))
    return made


def west_is_heard(state: State, ip: str = "10.244.0.7") -> None:
    item = make.endpoint_slice("web", make.endpoint(ip, "web-1"))
    state.set_remote(WEST, Remote((item,), {"uid-web-1": workload(make.pod("web-1", ip))}))


def resolved(state: State, name: str = ROOT) -> OutboundCluster:
    answer = outbound.resolve(state, name)
    assert isinstance(answer, OutboundCluster)
    return answer


def groups(state: State, name: str = ROOT) -> list[list[tuple[str | None, int]]]:
    """Of each priority: the cluster and the weight of each endpoint."""
    return [[(each.gateway, each.weight) for each in group] for group in resolved(state, name).priorities]


# --- the tutorial's ---------------------------------------------------------------------------------------------------


def test_a_backend_without_weight_stands_by(state: State) -> None:
    west_is_heard(state)
    state.set_split(None, split(("web", 100), ("web-west", 0)))
    assert groups(state) == [[(None, 1)], [("west", 1)]]
    assert resolved(state).service.name == "web", "the name that the client called stays"
    assert groups(state, "outbound/10.96.0.9:80") == [[("west", 1)]], "who calls a backend gets that backend"


def test_nobody_waits_for_a_standby_and_nobody_loses_one_meanwhile(state: State) -> None:
    state.set_split(None, split(("web", 100), ("web-west", 0)))
    assert groups(state) == [[(None, 1)], []]
    assert resolved(state).provisional, "a proxy that knows more keeps it"
    west_is_heard(state)
    assert not resolved(state).provisional


def test_a_cluster_that_does_not_answer_does_not_hide_what_happens_here(state: State) -> None:
    state.set_remote(WEST, Remote(heard=False))
    state.set_split(None, split(("web", 100), ("web-west", 0)))
    assert groups(state) == [[(None, 1)], []]
    assert not resolved(state).provisional


def test_a_request_waits_while_all_that_could_answer_has_not_been_heard(state: State) -> None:
    make.put(state, make.service("idle", "10.96.0.6", 80))
    state.set_split(None, split(("idle", 100), ("web-west", 0)))
    assert outbound.resolve(state, ROOT) is outbound.PENDING
    state.set_remote(WEST, Remote(heard=False))
    assert resolved(state).provisional


def test_the_linked_cluster_is_followed_as_soon_as_somebody_calls_the_service(state: State) -> None:
    state.set_split(None, split(("web", 100), ("web-west", 0)))
    _, topics = state.trace(lambda: outbound.resolve(state, ROOT))
    assert ("remote", *WEST) in topics


# --- what disturbs no other -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away", ["no-such-service", "other-port", "unlinked"])
def test_a_backend_that_leads_nowhere_is_an_empty_group(state: State, away: str) -> None:
    metadata = make.mirror_metadata("nowhere", "web.shop.svc.cluster.local")
    make.put(state, make.service("unlinked", "10.96.0.10", 80, **metadata))
    make.put(state, make.service("other-port", "10.96.0.11", ("admin", 9000)))
    west_is_heard(state)
    state.set_split(None, split((away, 0), ("web", 100), (away, 100), ("web-west", 0)))
    assert groups(state) == [[(None, 1)], [], [("west", 1)]]
    assert not resolved(state).provisional


def test_a_missing_backend_counts_from_the_moment_it_is_there(state: State) -> None:
    state.set_split(None, split(("web", 1), ("late", 0)))
    _, topics = state.trace(lambda: outbound.resolve(state, ROOT))
    assert ("service", "shop", "late") in topics


def test_only_the_oldest_split_of_a_service_counts(state: State) -> None:
    west_is_heard(state)
    young = split(("web-west", 1), name="a", creationTimestamp="2026-01-02T00:00:00Z")
    old = split(("web", 1), name="b", creationTimestamp="2026-01-01T00:00:00Z")
    for each in (young, old):
        state.set_split(None, each)
    assert groups(state) == [[(None, 1)]]
    state.set_split(old, None)
    assert groups(state) == [[("west", 1)]]
    state.set_split(young, None)
    assert groups(state) == [[(None, 1)]]
    assert ("split", "shop", "web") in state.take_changed()


def test_a_split_of_another_namespace_is_not_this_services(state: State) -> None:
    state.set_split(None, split(("web-west", 1), namespace="elsewhere"))
    assert groups(state) == [[(None, 1)]]


def test_a_split_that_moves_to_another_service_leaves_this_one(state: State) -> None:
    before, after = split(("web-west", 1)), split(("web-west", 1), service="other")
    state.set_split(None, before)
    state.set_split(before, after)
    assert groups(state) == [[(None, 1)]]


def test_backends_are_not_split_again(state: State) -> None:
    make.put(state, make.service("canary", "10.96.0.6", 80))
    state.set_split(None, split(("canary", 1), ("web", 0)))
    state.set_split(None, split(("web", 1), service="canary", name="back"))
    assert groups(state) == [[], [(None, 1)]]


def test_a_port_is_found_by_its_number_and_else_by_its_name(state: State) -> None:
    make.put(state, make.service("one", "10.96.0.11", ("http", 80), ("admin", 90)))
    make.put(state, make.service("two", "10.96.0.12", ("http", 8000), ("other", 90)))
    make.put(state, make.endpoint_slice("two", make.endpoint("10.244.0.8"), port=1, port_name="http"))
    state.set_split(None, split(("two", 1), service="one"))
    assert [each.address.port for each in resolved(state, "outbound/10.96.0.11:80").endpoints] == [1]
    assert resolved(state, "outbound/10.96.0.11:90").endpoints == (), "the number counts more than the name"


# --- what a proxy keeps -----------------------------------------------------------------------------------------------


def test_who_answered_before_stays_known_while_there_are_standbys(state: State) -> None:
    west_is_heard(state)
    state.set_split(None, split(("web", 100), ("web-west", 0)))
    before = resolved(state)
    state.set_slice(make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1")), None)
    after = splits.following(before, resolved(state))
    assert [each.gateway for each in after.endpoints] == ["west"]
    assert after.peers == before.peers
    assert splits.following(after, resolved(state)) == after


def test_without_standbys_nothing_is_kept(state: State) -> None:
    before = resolved(state)
    state.set_slice(make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1")), None)
    assert splits.following(before, resolved(state)).peers == set()


def test_an_address_that_was_given_to_another_service_starts_anew(state: State) -> None:
    west_is_heard(state)
    state.set_split(None, split(("web", 100), ("web-west", 0)))
    before = resolved(state)
    other = replace(before, service=replace(before.service, name="other"))
    assert splits.following(before, other) == other


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "share"),
    [(0, 0), (100, 100), ("500m", Fraction(1, 2)), ("0", 0), ("1.5", Fraction(3, 2)), ("2k", 2000), (0.5, 0.5),
     ("lots", None), ("-1", None), (-1, None), ("", None), ("1m\n", None), (float("inf"), None)],
)  # fmt: skip
def test_weights_are_numbers_or_quantities(written: float | str, share: Fraction | None) -> None:
    assert Backend("web", written).share == share


def somebody(number: int, cluster: str | None = None) -> Endpoint:
    return Endpoint(Address(f"10.244.0.{number}", 80), None, cluster)


def test_who_answers_for_two_backends_has_a_part_of_both() -> None:
    ours, theirs = somebody(1), somebody(2)
    (found,) = splits.priorities(
        [splits.Share("a", Fraction(1), ((ours,),)), splits.Share("b", Fraction(1), ((ours, theirs),))]
    )
    assert {each.address.host: each.weight for each in found} == {"10.244.0.1": 3, "10.244.0.2": 1}


def test_backends_that_fail_over_in_themselves_do_so_before_the_standbys() -> None:
    here, there, other, standby = somebody(1), somebody(2, "east"), somebody(3), somebody(4, "west")
    found = splits.priorities(
        [
            splits.Share("standby", Fraction(0), ((standby,),)),
            splits.Share("federated", Fraction(3), ((here,), (there,))),
            splits.Share("other", Fraction(1), ((other,),)),
        ]
    )
    assert [[(each.address.host, each.weight) for each in group] for group in found] == [
        [("10.244.0.1", 3), ("10.244.0.3", 1)],
        [("10.244.0.2", 1)],
        [("10.244.0.4", 1)],
    ]


@st.composite
def shares(draw: st.DrawFn) -> list[splits.Share]:
    """Backends of which no two share an endpoint."""
    found: list[splits.Share] = []
    for number, (weight, count) in enumerate(
        draw(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 30)), max_size=6))
    ):
        cluster = f"cluster-{number}"
        endpoints = tuple(somebody(each, cluster) for each in range(count))
        found.append(splits.Share(cluster, Fraction(weight), (endpoints,)))
    return found


@given(shares())
def test_every_endpoint_is_in_one_group_and_standbys_keep_their_order(backends: list[splits.Share]) -> None:
    found = splits.priorities(backends)
    listed = [(each.gateway, each.address) for group in found for each in group]
    assert sorted(listed) == sorted((each.gateway, each.address) for share in backends for each in share.groups[0])
    standbys = [
        tuple(replace(each, backend=share.backend) for each in share.groups[0])
        for share in backends
        if not share.weight
    ]
    weighted = [share for share in backends if share.weight]
    assert list(found[bool(weighted) :]) == standbys, "each is a priority of its own, empty or not"
    assert len(found) == len(standbys) + bool(weighted)


@given(shares())
def test_traffic_is_shared_by_weight_among_those_who_have_somebody(backends: list[splits.Share]) -> None:
    present = {share.backend: share.weight for share in backends if share.weight and share.groups[0]}
    if not present:
        return
    first = splits.priorities(backends)[0]
    total, weights = sum(present.values()), sum(each.weight for each in first)
    assert weights < 1 << 32
    for cluster, weight in present.items():
        part = Fraction(sum(each.weight for each in first if each.backend == cluster), weights)
        assert abs(part - weight / total) < Fraction(1, 1000)
    if len(present) == 1:
        assert {each.weight for each in first} == {1}


@given(shares(), st.integers(0, 5), st.integers(1, 30))
def test_a_standby_that_comes_or_goes_moves_no_other(backends: list[splits.Share], which: int, count: int) -> None:
    if which >= len(backends) or backends[which].weight:
        return
    changed = list(backends)
    changed[which] = backends[which]._replace(groups=(tuple(somebody(each, "new") for each in range(count)),))
    before, after = splits.priorities(backends), splits.priorities(changed)
    moved = [priority for priority, group in enumerate(before) if group != after[priority]]
    assert len(before) == len(after)
    assert len(moved) <= 1
    assert moved != [0] or not any(share.weight for share in backends)
