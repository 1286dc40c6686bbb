"""A rolling update never has too few available pods, never too many pods, and always ends."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.lab.controllers.rollouts import Limits, Size, limits, recreate, resized, rolling


@pytest.mark.parametrize(
    ("spec", "surge", "unavailable"),
    [
        ({"replicas": 4}, 1, 1),
        ({"replicas": 3}, 1, 0),
        ({"replicas": 1}, 1, 0),
        ({"replicas": 10, "strategy": {"rollingUpdate": {"maxSurge": "30%", "maxUnavailable": "15%"}}}, 3, 1),
        ({"replicas": 3, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}, 0, 1),
        ({"replicas": 2, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 5}}}, 0, 2),
    ],
)
def test_limits_round_up_for_surge_and_down_for_unavailable(spec, surge, unavailable):
    assert limits(spec) == Limits(spec["replicas"], surge, unavailable)


def test_first_rollout_makes_all_pods_at_once():
    assert rolling(Size("new", 0, 0, 0), [], Limits(5, 2, 1)) == {"new": 5}


def test_nothing_changes_when_everything_is_as_wanted():
    assert rolling(Size("new", 3, 3, 3), [Size("old", 0, 0, 0)], Limits(3, 1, 0)) == {}


def test_scaling_down_is_immediate():
    assert rolling(Size("new", 5, 5, 5), [], Limits(2, 1, 0)) == {"new": 2}


def test_pods_that_never_became_available_go_first():
    broken, sound = Size("broken", 2, 2, 0), Size("sound", 3, 3, 3)
    wanted = rolling(Size("new", 0, 0, 0), [sound, broken], Limits(3, 1, 0))
    assert wanted.get("broken", 2) < 2
    assert "sound" not in wanted


def test_recreate_waits_until_the_last_old_pod_is_gone():
    assert recreate(Size("new", 0, 0, 0), [Size("old", 3, 3, 3)], 3) == {"old": 0}
    assert recreate(Size("new", 0, 0, 0), [Size("old", 0, 1, 0)], 3) == {}
    assert recreate(Size("new", 0, 0, 0), [Size("old", 0, 0, 0)], 3) == {"new": 3}


def test_a_paused_deployment_still_follows_its_replica_count():
    assert resized(Size("new", 1, 1, 1), 4) == {"new": 4}


@given(
    replicas=st.integers(1, 12),
    surge=st.integers(0, 5),
    unavailable=st.integers(0, 5),
    start=st.data(),
)
def test_every_rollout_keeps_its_limits_and_ends(replicas, surge, unavailable, start):
    bounds = limits(
        {"replicas": replicas, "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}
    )
    old = Size("old", replicas, replicas, replicas)
    new = Size("new", 0, 0, 0)
    for _ in range(20 * replicas + 20):
        wanted = rolling(new, [old], bounds)
        new = replace(new, desired=wanted.get("new", new.desired))
        old = replace(old, desired=wanted.get("old", old.desired))
        assert new.desired + max(old.desired, old.running) <= bounds.most
        old = replace(old, running=old.desired, available=min(old.available, old.desired))
        assert new.available + old.available >= bounds.least_available
        new = replace(new, running=new.desired)
        if (new.desired, old.desired) == (replicas, 0):
            return
        if new.available < new.running:
            step = start.draw(st.integers(1, new.running - new.available))
            new = replace(new, available=new.available + step)
    raise AssertionError(f"stuck at {new} and {old}")
