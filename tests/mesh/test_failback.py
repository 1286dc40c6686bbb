"""How much of the traffic a group of endpoints gets: by what is ready of it, at once less, step by step more."""

from dataclasses import replace
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.mesh import failback
from isthmus.mesh.model import SPILL_BELOW, Address, Endpoint, OutboundCluster, ServicePort


def group(ready: int, missing: int = 0) -> tuple[Endpoint, ...]:
    return tuple(
        Endpoint(Address(f"10.244.0.{number}", 80), None, ready=number < ready) for number in range(ready + missing)
    )


def cluster(*groups: tuple[Endpoint, ...], spill_below: int = SPILL_BELOW) -> OutboundCluster:
    return OutboundCluster("outbound/x", ServicePort("shop", "web", 80), groups, spill_below=spill_below)


@pytest.mark.parametrize(
    ("ready", "missing", "spill_below", "expected"),
    [(3, 0, 50, 100), (2, 1, 50, 100), (1, 1, 50, 100), (1, 2, 50, 66), (0, 3, 50, 0), (0, 0, 50, 0),
     (5, 5, 100, 50), (9, 1, 100, 90), (1, 9, 10, 100), (1, 99, 0, 100), (7, 3, 70, 99)],
)  # fmt: skip
def test_a_group_carries_everything_until_too_few_are_ready(
    ready: int, missing: int, spill_below: int, expected: int
) -> None:
    assert failback.capacity(group(ready, missing), spill_below) == expected


@given(st.integers(1, 200), st.data())
def test_an_update_with_the_default_strategy_sends_nothing_away(replicas: int, data: st.DataObject) -> None:
    """At most a quarter (rounded down) may be missing, at most a quarter (rounded up) more may be there."""
    ready = data.draw(st.integers(replicas - floor(replicas / 4), replicas))
    listed = data.draw(st.integers(ready, replicas + ceil(replicas / 4)))
    assert failback.capacity(group(ready, listed - ready), SPILL_BELOW) == 100


def test_what_came_back_is_given_more_step_by_step_while_somebody_else_has_the_rest() -> None:
    away, back = cluster((), group(3)), cluster(group(3), group(3))
    now = failback.following(away, back)
    seen = [failback.levels(now)]
    while now.returning:
        now = failback.advanced(now)
        seen.append(failback.levels(now))
    assert seen == [(20, 100), (40, 100), (60, 100), (80, 100), (100, 100)]
    assert now == back


def test_with_nobody_standing_by_everything_comes_back_at_once() -> None:
    for standby in ((), group(0, 3)):
        assert failback.following(cluster((), standby), cluster(group(3), standby)).returning == ()


def test_what_fails_on_its_way_back_has_nothing_at_once_and_begins_anew() -> None:
    back = cluster(group(3), group(3))
    now = failback.advanced(failback.following(cluster((), group(3)), back))
    gone = failback.following(now, cluster(group(0, 3), group(3)))
    assert failback.levels(gone) == (0, 100)
    assert failback.levels(failback.following(gone, back)) == (failback.STEP, 100)


def test_each_of_several_standbys_comes_back_step_by_step_but_the_last() -> None:
    away = cluster((), (), group(1))
    back = cluster((), group(2), group(2))
    assert failback.levels(failback.following(away, back)) == (0, failback.STEP, 100)


health = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda counts: group(*counts))


@given(st.lists(st.tuples(health, health), min_size=1, max_size=12), st.sampled_from([1, 30, 50, 100]))
def test_nobody_is_given_more_than_it_carries_nor_two_steps_at_a_time(
    history: list[tuple[tuple[Endpoint, ...], tuple[Endpoint, ...]]], spill_below: int
) -> None:
    now = cluster(*history[0], spill_below=spill_below)
    for groups in history[1:]:
        before, now = now, failback.following(now, cluster(*groups, spill_below=spill_below))
        most = [failback.capacity(each, spill_below) for each in groups]
        assert all(given <= limit for given, limit in zip(failback.levels(now), most, strict=True))
        if any(each.ready for each in groups[1]):
            assert failback.levels(now)[0] <= max(failback.levels(before)[0], failback.STEP)
        else:
            assert list(failback.levels(now)) == most
    for _ in range(100 // failback.STEP):
        now = failback.advanced(now)
    assert now == replace(now, returning=()), "in the end nothing is held back"
