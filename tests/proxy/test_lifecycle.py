"""The life of a proxy, as transcripts of the table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.proxy import lifecycle as life

STATES = sorted({state for state, _ in life.TRANSITIONS})
EVENTS = sorted({event for _, event in life.TRANSITIONS})


def play(*events: str, state: str = life.REQUESTING) -> tuple[str, list[str]]:
    actions = []
    for event in events:
        state, action = life.step(state, event)
        actions.append(action)
    return state, actions


def test_a_calm_life():
    assert play(life.ISSUED, life.TIMER, life.ISSUED, life.TERMINATE, life.TIMER, life.ENVOY_ENDED) == (
        life.STOPPED,
        [life.START_ENVOY, life.REQUEST, life.RENEW_LATER, life.DRAIN, life.END_ENVOY, life.NOTHING],
    )


def test_without_a_certificate_it_tries_again_and_never_starts_envoy():
    state, actions = play(life.REFUSED, life.TIMER, life.REFUSED, life.TIMER)
    assert state == life.REQUESTING
    assert actions == [life.RETRY_LATER, life.REQUEST, life.RETRY_LATER, life.REQUEST]


def test_a_failed_renewal_leaves_envoy_running():
    state, actions = play(life.ISSUED, life.TIMER, life.REFUSED, life.TIMER, life.ISSUED)
    assert state == life.RUNNING
    assert actions == [life.START_ENVOY, life.REQUEST, life.RETRY_LATER, life.REQUEST, life.RENEW_LATER]


@pytest.mark.parametrize("state", [life.RUNNING, life.RENEWING, life.RETRYING])
def test_envoy_dying_is_a_failure(state):
    assert play(life.ENVOY_ENDED, state=state)[0] == life.FAILED


@given(events=st.lists(st.sampled_from(EVENTS), max_size=30))
def test_whatever_happened_before_it_can_be_ended(events):
    state, _ = play(*events)
    if state not in life.ENDED:
        state, _ = play(life.TERMINATE, life.TERMINATE, life.TERMINATE, life.ENVOY_ENDED, state=state)
    assert state in life.ENDED


@given(events=st.lists(st.sampled_from(EVENTS), max_size=30))
def test_a_late_answer_never_starts_envoy_twice(events):
    _, actions = play(*events)
    assert actions.count(life.START_ENVOY) <= 1


def test_retries_begin_fast_and_slow_down():
    assert [life.retry_after(failures, 0) for failures in (1, 2, 3, 7, 8, 1000)] == [0.1, 0.2, 0.4, 6.4, 10, 10]
    assert life.retry_after(8, 0.999) >= 7.5


def test_a_day_long_certificate_is_renewed_after_17_hours():
    assert life.renew_at(0, 24 * 3600) == pytest.approx(16.8 * 3600)


@given(issued=st.floats(0, 2e9), life_time=st.floats(-1e9, 1.0))
def test_a_clock_far_ahead_does_not_make_it_ask_all_the_time(issued, life_time):
    assert life.renew_at(issued, issued + life_time) >= issued + 0.99
