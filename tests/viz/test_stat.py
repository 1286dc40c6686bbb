"""A known number of requests with a known share of failures: the rows say exactly that."""

import pytest
from tests.viz import views

from isthmus.viz.api import Numbers, StatQuestion, StatRow
from isthmus.viz.kinds import Resource, UnknownResourceError, parse, parse_one
from isthmus.viz.stat import answer


def ask(*words: str, **narrowing: object) -> list[StatRow]:
    question = StatQuestion(resources=parse(words), **narrowing)  # type: ignore[arg-type]
    return list(answer(views.cluster(), question).rows)


def told(rows: list[StatRow]) -> dict[str, tuple[float | None, float | None]]:
    return {row.name: (row.numbers.success, row.numbers.rps) for row in rows}


def test_a_workload_shows_what_it_was_asked() -> None:
    (row,) = ask("deploy/backend")
    assert (row.numbers.success, row.numbers.rps) == (102 / 132, 132 / 60)
    assert (row.meshed, row.running) == (1, 1)
    assert row.numbers.latency_ms_p50 == pytest.approx(7.5)
    assert row.numbers.tcp_open_connections == 4
    assert row.numbers.tcp_read_bytes_rate == 100


def test_to_a_service_counts_what_the_client_sent_there() -> None:
    (row,) = ask("deploy/frontend", to=parse_one("svc/backend"))
    assert (row.numbers.success, row.numbers.rps) == (96 / 126, 126 / 60)
    assert (row.meshed, row.running) == (2, 2)


def test_to_a_mirror_counts_calls_of_it_and_what_it_answered_for_a_split() -> None:
    (row,) = ask("deploy/frontend", to=parse_one("svc/backend-east"))
    assert (row.numbers.success, row.numbers.rps) == (1.0, 36 / 60)
    assert told(ask("po", to=parse_one("svc/backend-east"))) == {"frontend-1": (1.0, 0.5), "frontend-2": (1.0, 0.1)}


def test_from_a_workload_counts_what_its_proxies_saw() -> None:
    assert told(ask("deploy/backend", from_=parse_one("deploy/frontend"))) == {"backend": (0.75, 2.0)}
    assert told(ask("svc", from_=parse_one("po/frontend-2"))) == {
        "backend": (51 / 66, 66 / 60),
        "backend-east": (1.0, 0.1),
    }


def test_to_and_from_look_into_the_namespace_that_was_named() -> None:
    assert ask("deploy/frontend", to=parse_one("svc/backend"), to_namespace="other") == []
    assert ask("deploy", namespace="other", from_=parse_one("deploy/frontend"), from_namespace="default") == []
    assert told(ask("ns", from_=parse_one("ns/default"))) == {"default": (0.75, 2.0)}


def test_services_and_authorities_show_calls_of_them() -> None:
    assert told(ask("svc/backend-east")) == {"backend-east": (1.0, 0.6)}
    assert [row.meshed for row in ask("svc")] == [None, None]
    assert set(told(ask("au"))) == {
        "backend.default.svc.cluster.local:8080",
        "backend-east.default.svc.cluster.local:8080",
    }


def test_a_split_shows_every_leaf_of_its_apex() -> None:
    rows = ask("ts/backend-split")
    assert [(row.apex, row.leaf, row.weight, row.numbers.rps) for row in rows] == [
        ("backend", "backend", "100", 2.0),
        ("backend", "backend-east", "0", 0.1),
    ]


def test_a_meshed_workload_without_traffic_has_dashes_and_no_zeros() -> None:
    (row,) = ask("deploy/quiet")
    assert row.numbers == Numbers()


def test_workloads_without_a_proxy_are_shown_where_they_are_asked_for() -> None:
    assert [row.name for row in ask("deploy")] == ["backend", "frontend", "quiet"]
    assert [row.name for row in ask("deploy", unmeshed=True)] == ["backend", "frontend", "legacy", "quiet"]
    assert [(row.meshed, row.running) for row in ask("deploy/legacy")] == [(0, 1)]


def test_a_namespace_adds_up_its_pods() -> None:
    (row,) = ask("ns/default")
    assert (row.meshed, row.running, row.numbers.rps) == (4, 5, 2.2)


def test_another_namespace_has_other_workloads() -> None:
    assert ask("deploy", namespace="other") == []
    assert len(ask("deploy", namespace="other", all_namespaces=True)) == 3


def test_rates_are_over_the_time_that_is_known() -> None:
    view = views.cluster(began=views.END - 30)
    question = StatQuestion(resources=(Resource("deployment", "frontend"),), to=Resource("service", "backend-east"))
    found = answer(view, question)
    assert found.window == 30
    (row,) = found.rows
    assert row.numbers.rps == pytest.approx(36 / 60, rel=0.02)


@pytest.mark.parametrize(
    ("words", "narrowing", "sentence"),
    [
        (["deploy"], {"from_": Resource("service", "web")}, "--from svc/web: numbers come from the proxies of pods"),
        (["deploy"], {"to": Resource("service", "a"), "from_": Resource("pod", "b")}, "do not go together"),
        (["svc/a"], {"to": Resource("service", "b")}, "sends nothing itself"),
        (["deploy"], {"to": Resource("trafficsplit", "b")}, "name the service that is split"),
    ],
)
def test_what_can_have_no_answer_is_said(words: list[str], narrowing: dict[str, Resource], sentence: str) -> None:
    with pytest.raises(UnknownResourceError, match=sentence):
        ask(*words, **narrowing)
