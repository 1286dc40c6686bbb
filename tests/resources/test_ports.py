"""Port annotations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import names
from isthmus.resources import ports

PORTS = st.integers(1, 65535)


@given(st.lists(PORTS, max_size=5), st.tuples(PORTS, st.integers(0, 20)))
def test_numbers_and_ranges(single: list[int], span: tuple[int, int]) -> None:
    low, high = span[0], min(span[0] + span[1], 65535)
    text = ", ".join([*map(str, single), f"{low}-{high}"])
    assert ports.parse(text) == tuple(sorted({*single, *range(low, high + 1)}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("80-", "'80-' is neither a port nor a range"),
        ("http", "'http' is neither a port nor a range"),
        ("-80", "neither"),
        ("0", "0 is not between 1 and 65535"),
        ("65536", "not between"),
        ("90-80", "the port range 90-80 ends before it begins"),
        ("²", "neither"),
        ("9" * 5000, "^9{40} is not between"),
        ("1-" + "9" * 5000, "not between"),
        ("x" * 5000, "^'x{40}' is neither"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    with pytest.raises(ports.PortError, match=words):
        ports.parse(text)


def test_the_first_annotation_that_names_ports_counts_and_a_broken_one_does_not() -> None:
    own, inherited, broken = ({names.OPAQUE_PORTS_ANNOTATION: text} for text in ("1", "2", "?"))
    assert ports.opaque(own, inherited) == (1,)
    assert ports.opaque({}, inherited) == (2,)
    assert ports.opaque(broken, inherited) == (2,)
    assert ports.opaque({}, {}) == names.DEFAULT_OPAQUE_PORTS
    assert ports.opaque({names.OPAQUE_PORTS_ANNOTATION: ""}) == ()


def test_what_the_init_container_does_not_redirect_is_known_to_be_without_a_proxy():
    never = {4190, 4191}
    assert ports.skipped_inbound({}) == never | {4567, 4568}
    assert ports.skipped_inbound({names.SKIP_INBOUND_PORTS_ANNOTATION: "80-81"}) == never | {80, 81}
    assert ports.skipped_inbound({names.SKIP_INBOUND_PORTS_ANNOTATION: ""}) == never
    assert ports.skipped_inbound({names.SKIP_INBOUND_PORTS_ANNOTATION: "nonsense"}) == never | {4567, 4568}
