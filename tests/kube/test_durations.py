"""Durations as people write them in flags."""

from datetime import timedelta

import pytest

from isthmus.kube import durations


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("20s", 20), ("1h30m", 5400), ("100ms", 0.1), ("1.5h", 5400), ("0s", 0)]
)
def test_known_shapes(text, seconds):
    assert durations.parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "24", "h", "1d", "-1h", "1h 30m", "1hh"])
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="such as 24h"):
        durations.parse(text)


@pytest.mark.parametrize("text", ["99999999999999999999h", "9" * 5000 + "s"])
def test_what_nobody_means_is_refused(text):
    with pytest.raises(ValueError, match="too long"):
        durations.parse(text)
