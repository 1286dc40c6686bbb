"""Linkerd's columns and number formats."""

import json

from tests.viz import views

from isthmus.viz import tables
from isthmus.viz.api import EdgesQuestion, Numbers, StatQuestion, StatRow
from isthmus.viz.edges import answer as edges_answer
from isthmus.viz.kinds import parse
from isthmus.viz.stat import answer

FULL = Numbers(
    success=0.9191,
    rps=2.04,
    latency_ms_p50=9.6,
    latency_ms_p95=26,
    latency_ms_p99=29,
    tcp_open_connections=4,
    tcp_read_bytes_rate=1228.84,
    tcp_write_bytes_rate=0.0,
)


def row(name: str, numbers: Numbers, **more: object) -> StatRow:
    return StatRow(namespace="shop", kind="deployment", name=name, numbers=numbers, **more)  # type: ignore[arg-type]


def test_numbers_stand_as_linkerd_writes_them() -> None:
    rows = [row("web", FULL, meshed=1, running=1), row("idle", Numbers(), meshed=0, running=2)]
    lines = tables.stat(rows, all_namespaces=True, wide=True).splitlines()
    half = len("NAMESPACE   NAME   MESHED   SUCCESS      RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99")
    assert [line[:half] for line in lines] == [
        "NAMESPACE   NAME   MESHED   SUCCESS      RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99",
        "shop        web       1/1    91.91%   2.0rps          10ms          26ms          29ms",
        "shop        idle      0/2         -        -             -             -             -",
    ]
    assert [line[half:] for line in lines] == [
        "   TCP_CONN   READ_BYTES/SEC   WRITE_BYTES/SEC",
        "          4        1228.8B/s            0.0B/s",
        "          -                -                 -",
    ]


def test_a_split_has_apex_leaf_and_weight() -> None:
    rows = answer(views.cluster(), StatQuestion(resources=parse(["ts"]))).rows
    header, first, second = tables.stat(rows, all_namespaces=False, wide=False).splitlines()
    assert header.split()[:5] == ["NAME", "APEX", "LEAF", "WEIGHT", "SUCCESS"]
    assert first.split()[:6] == ["backend-split", "backend", "backend", "100", "75.00%", "2.0rps"]
    assert second.split()[:6] == ["backend-split", "backend", "backend-east", "0", "100.00%", "0.1rps"]


def test_several_kinds_are_told_apart() -> None:
    rows = answer(views.cluster(), StatQuestion(resources=parse(["deploy/backend", "svc/backend"]))).rows
    tables_of_kinds = tables.stat(rows, all_namespaces=False, wide=False).split("\n\n")
    assert [text.splitlines()[1].split()[0] for text in tables_of_kinds] == ["deploy/backend", "svc/backend"]


def test_json_has_linkerds_keys_and_null_for_what_is_not_known() -> None:
    (found,) = json.loads(json.dumps(tables.stat_json([row("idle", Numbers(), meshed=1, running=1)], 60)))
    assert found == {
        "namespace": "shop", "kind": "deployment", "name": "idle", "meshed": "1/1", "success": None, "rps": None,
        "latency_ms_p50": None, "latency_ms_p95": None, "latency_ms_p99": None, "tcp_open_connections": None,
        "tcp_read_bytes_rate": None, "tcp_write_bytes_rate": None, "window_seconds": 60,
    }  # fmt: skip


def test_edges_say_whether_they_are_secured() -> None:
    found = edges_answer(views.cluster(), EdgesQuestion(kind="deployment")).edges
    lines = tables.edges(found, wide=False).splitlines()
    assert lines[0].split() == ["SRC", "DST", "SRC_NS", "DST_NS", "SECURED"]
    assert lines[2].split() == ["frontend", "east:deploy/backend", "default", "default", "√"]


def test_a_name_cannot_write_on_the_terminal() -> None:
    assert tables.plain("a\x1b[2Jb\nc\u202e") == "a?[2Jb?c?"
