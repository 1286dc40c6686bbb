"""Metrics are text that another party wrote."""

from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.viz import exposition

LABEL_VALUES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=40)


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def read(text: str) -> list[tuple[tuple[str, dict[str, str]] | None, float]]:
    return [(exposition.series(written), value) for written, value in exposition.lines(text.encode())]


def test_a_series_is_read_with_its_labels_and_value() -> None:
    text = '# TYPE request_total counter\nrequest_total{direction="outbound",dst_cluster="east"} 31\nup 1 1700000000\n'
    assert read(text) == [
        (("request_total", {"direction": "outbound", "dst_cluster": "east"}), 31.0),
        (("up", {}), 1.0),
    ]


@settings(max_examples=25)
@given(LABEL_VALUES)
def test_whatever_a_label_says_stays_inside_of_it(value: str) -> None:
    assert read(f'request_total{{authority="{escaped(value)}",tls="true"}} 7\n') == [
        (("request_total", {"authority": value, "tls": "true"}), 7.0)
    ]


@settings(max_examples=25)
@given(st.binary(max_size=300))
def test_what_is_no_metrics_is_nothing_and_does_no_harm(body: bytes) -> None:
    for written, _ in exposition.lines(body):
        exposition.series(written)


def test_a_line_that_cannot_be_read_hides_no_other() -> None:
    text = 'a{b="c" 1\na{b=c} 2\na{b="c",b="d"} 3\na{b="c"}\n' + "x" * 9000 + ' 1\nok{b="c",} 4\n'
    assert [each for each in read(text) if each[0]] == [(("ok", {"b": "c"}), 4.0)]


def test_values_that_no_proxy_counts_to_are_left_out() -> None:
    text = "a NaN\na 1e999\na 1.7e308\na -1e300\nok 9007199254740992\n"
    assert read(text) == [(("ok", {}), 2.0**53)]
