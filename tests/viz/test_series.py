"""A few minutes of counters, kept in little memory, never counting what did not happen."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.viz import series
from isthmus.viz.series import History, Series


def shown(value: float, **labels: str) -> bytes:
    text = ",".join(f'{name}="{value}"' for name, value in {"direction": "inbound", **labels}.items())
    return f"request_total{{{text}}} {value}\n".encode()


def only(history: History) -> Series:
    ((found,),) = [tuple(group.series.values()) for group in history.groups.values()]
    return found


def history_of(values: Sequence[float | None], *, began: float | None = None) -> History:
    """Looks every ten seconds from 10 on; None where the series was not shown."""
    history = History(began=began)
    for number, value in enumerate(values):
        history.observe(10.0 * (number + 1), b"" if value is None else shown(value))
    return history


def increase(history: History, since: float) -> float:
    return history.since(since)(only(history))


def test_what_was_counted_before_we_came_is_not_counted_again() -> None:
    assert increase(history_of([1000, 1007]), 0) == 7


def test_the_first_requests_of_a_pod_that_began_after_us_count() -> None:
    assert increase(history_of([5], began=3.0), 0) == 5


def test_the_first_request_of_a_new_kind_counts() -> None:
    assert increase(history_of([None, 3]), 0) == 3


def test_a_proxy_that_restarts_loses_nothing_that_was_seen() -> None:
    assert increase(history_of([10, 30, 4]), 0) == 24


def test_an_idle_series_that_was_dropped_and_comes_back_counts_from_zero() -> None:
    assert increase(history_of([10, None, 12]), 0) == 12


def test_a_window_that_begins_between_two_looks_takes_its_part() -> None:
    history = history_of([0, 100, 100])
    assert increase(history, 12.5) == pytest.approx(75)
    assert increase(history, 20) == 0


def test_a_connection_that_is_gone_is_not_open() -> None:
    history = History()
    history.observe(10, b'tcp_open_connections{direction="inbound",peer="src"} 3\n')
    assert only(history).total == 3
    history.observe(20, b"")
    assert only(history).total == 0


def test_series_that_differ_in_labels_nobody_asks_for_are_added_up() -> None:
    history = History(began=1)
    history.observe(10, shown(2, target_addr="10.0.0.1:80") + shown(3, target_addr="10.0.0.2:80"))
    assert increase(history, 0) == 5


def test_a_pod_that_shows_more_series_than_are_kept_is_told() -> None:
    history = History(began=1)
    history.observe(10, b"".join(shown(1, authority=str(number)) for number in range(50)), room=40)
    assert history.refused == 10
    assert history.size == len(history.groups) == 40


def test_what_is_older_than_the_history_is_forgotten() -> None:
    history = history_of([1, 2, 3, 4])
    history.observe(50, b"")
    history.observe(60, b"")
    history.forget_before(45)
    assert history.times == [40, 50, 60]
    assert increase(history, 0) == 0
    history.forget_before(60)
    assert history.size == 0
    assert not history.groups


@settings(max_examples=25)
@given(st.lists(st.none() | st.integers(0, 50), min_size=1, max_size=12), st.integers(0, 130), st.integers(0, 130))
def test_an_increase_is_never_negative_and_parts_add_up(values: list[int | None], one: int, other: int) -> None:
    history = history_of([0, *values])
    early, late = sorted((one, other))
    assert 0 <= increase(history, late) <= increase(history, early)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_forgetting_changes_no_answer_about_what_is_kept(steps: list[int]) -> None:
    totals = [sum(steps[: number + 1]) for number in range(len(steps))]
    whole, cut = history_of(totals), history_of(totals)
    middle = whole.times[len(whole.times) // 2]
    cut.forget_before(middle)
    assert increase(cut, middle) == increase(whole, middle)
    assert len(only(cut).looks) <= len(cut.times)


def test_an_unchanging_series_takes_no_more_memory_with_time() -> None:
    history = history_of([7] * 60)
    assert len(only(history).looks) == 0
    assert series.HISTORY_SECONDS / 10 < 70


def test_a_latency_of_another_cluster_belongs_to_the_same_service_as_its_requests() -> None:
    """Proxies leave out of it what its authority and its cluster say."""
    called = 'direction="outbound",authority="web-east.shop.svc.cluster.local:80",dst_cluster="east"'
    brief = f'response_latency_ms_bucket{{{called},dst_target_service="web",le="5"}} 1\n'
    history = History()
    history.observe(1.0, brief.encode())
    (group,) = history.groups.values()
    assert (group.labels["dst_service"], group.labels["dst_namespace"]) == ("web-east", "shop")
    assert (group.labels["dst_target_cluster"], group.labels["tls"]) == ("east", "true")
