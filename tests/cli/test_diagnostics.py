"""What `linkerd diagnostics endpoints` prints."""

from typing import Any

from isthmus.cli.diagnostics import HEADER, columns


def entry(pod: str, priority: int, cluster: str | None = None) -> dict[str, Any]:
    where = {"namespace": "shop", "service": "web.shop", "ip": "10.244.0.7", "port": 80}
    return {**where, "pod": pod, "cluster": cluster, "identity": None, "priority": priority}


def test_priorities_are_shown_where_there_are_standbys() -> None:
    header, rows = columns([entry("web-1", 0), entry("web-2", 1, "west")])
    assert header == (*HEADER, "PRIORITY")
    assert [(row[3], row[5], row[-1]) for row in rows] == [("web-1", "-", "0"), ("web-2", "west", "1")]


def test_without_standbys_there_is_nothing_to_tell_apart() -> None:
    header, rows = columns([entry("web-1", 0)])
    assert header == HEADER
    assert len(rows[0]) == len(HEADER)
