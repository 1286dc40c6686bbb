"""Counts become what people read: shares, rates, quantiles."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.viz.api import Numbers
from isthmus.viz.tally import Tally, quantile

BOUNDS = (1.0, 2.0, 5.0, 10.0, math.inf)


def answered(tally: Tally, count: float, classification: str) -> None:
    tally.add({"classification": classification}, {("response_total", ""): count}, peer="dst")


def test_a_known_share_of_failures_is_that_share() -> None:
    tally = Tally()
    answered(tally, 90, "success")
    answered(tally, 30, "failure")
    numbers = tally.numbers(60)
    assert (numbers.success, numbers.rps) == (0.75, 2.0)


def test_nothing_counted_is_nothing_known_and_no_zero() -> None:
    tally = Tally()
    answered(tally, 0, "success")
    assert tally.numbers(60) == Tally().numbers(60) == Numbers()


def test_only_failures_are_no_success() -> None:
    tally = Tally()
    answered(tally, 3, "failure")
    assert tally.numbers(60).success == 0.0


def test_of_connections_only_the_side_that_was_asked_for_counts() -> None:
    tally = Tally()
    for peer, value in (("src", 4.0), ("dst", 9.0)):
        tally.add({"peer": peer}, {("tcp_open_connections", ""): value, ("tcp_read_bytes_total", ""): 60.0}, peer="src")
    assert tally.numbers(60) == Numbers(tcp_open_connections=4, tcp_read_bytes_rate=1.0)


def test_a_quantile_is_what_prometheus_would_say() -> None:
    buckets = {1.0: 0.0, 2.0: 50.0, 5.0: 90.0, 10.0: 100.0, math.inf: 100.0}
    assert quantile(0.5, buckets) == pytest.approx(2.0)
    assert quantile(0.95, buckets) == pytest.approx(7.5)
    assert quantile(0.1, buckets) == pytest.approx(1.2)
    assert quantile(0.99, {1.0: 0.0, 2.0: 1.0, math.inf: 2.0}) == 2.0
    assert quantile(0.5, {1.0: 0.0, math.inf: 0.0}) is None
    assert quantile(0.5, {}) is None


@settings(max_examples=25)
@given(st.lists(st.integers(0, 50), min_size=5, max_size=5), st.floats(0.01, 0.99))
def test_a_quantile_lies_within_the_bounds(counts: list[int], share: float) -> None:
    total, buckets = 0, {}
    for bound, count in zip(BOUNDS, counts, strict=True):
        total += count
        buckets[bound] = float(total)
    found = quantile(share, buckets)
    assert (found is None) == (total == 0)
    assert found is None or 0 <= found <= 10
