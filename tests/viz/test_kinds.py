"""Resources are written as in Linkerd."""

import pytest

from isthmus.viz.kinds import IN_ALL, Resource, UnknownResourceError, parse


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["deploy"], [("deployment", "")]),
        (["po/web-1"], [("pod", "web-1")]),
        (["sts", "db", "cache"], [("statefulset", "db"), ("statefulset", "cache")]),
        (["deploy/web", "svc/web"], [("deployment", "web"), ("service", "web")]),
        (["TrafficSplits"], [("trafficsplit", "")]),
        (["all"], [(kind, "") for kind in IN_ALL]),
    ],
)
def test_types_and_names_are_understood(words: list[str], found: list[tuple[str, str]]) -> None:
    assert parse(words) == tuple(Resource(kind, name) for kind, name in found)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["teapot"], '"teapot" is no kind of resource; there are au, '),
        (["servers"], "policies are not served by this mesh"),
        (["all", "web"], "`all` takes no names"),
        (["deploy/"], "names no resource"),
        ([], "Name a resource"),
    ],
)
def test_what_is_not_understood_is_said(words: list[str], sentence: str) -> None:
    with pytest.raises(UnknownResourceError, match=sentence):
        parse(words)
