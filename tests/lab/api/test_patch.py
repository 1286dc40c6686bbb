"""Patches do what RFC 6902 and RFC 7396 say, and leave the original alone."""

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.lab.api.contracts import ApiError
from isthmus.lab.api.patch import json_patch, merge_patch

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab/~", max_size=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc/~", max_size=2), inner, max_size=3),
)
OBJECTS = st.dictionaries(st.text("abc", max_size=2), VALUES, max_size=4)


def _difference(old: Any, new: Any) -> Any:
    """The merge patch that leads from old to new, when new has no nulls."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    patch = {key: None for key in old if key not in new}
    patch |= {
        key: _difference(old.get(key), value) for key, value in new.items() if key not in old or old[key] != value
    }
    return patch


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


@given(old=OBJECTS, new=OBJECTS)
def test_a_merge_patch_leads_from_any_object_to_any_other(old: Any, new: Any) -> None:
    old, new = _without_nulls(old), _without_nulls(new)
    before = copy.deepcopy(old)
    assert merge_patch(old, _difference(old, new)) == new
    assert old == before


@given(old=OBJECTS, patch=OBJECTS)
def test_applying_a_merge_patch_twice_changes_nothing_more(old: Any, patch: Any) -> None:
    once = merge_patch(old, patch)
    assert merge_patch(once, patch) == once


OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]),
            "path": st.text("/ab01-~", max_size=5),
        },
        optional={"value": VALUES, "from": st.text("/ab01", max_size=4)},
    ),
    max_size=4,
)


@given(document=VALUES, operations=OPERATIONS)
def test_a_json_patch_applies_or_is_refused_and_never_touches_the_original(document: Any, operations: Any) -> None:
    before = copy.deepcopy(document)
    with contextlib.suppress(ApiError):
        json_patch(document, operations)
    assert document == before


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/list/1", "value": 9}, {"list": [1, 9, 2], "a/b": {"~": 1}}),
        ({"op": "add", "path": "/list/-", "value": 9}, {"list": [1, 2, 9], "a/b": {"~": 1}}),
        ({"op": "remove", "path": "/list/0"}, {"list": [2], "a/b": {"~": 1}}),
        ({"op": "replace", "path": "/a~1b/~0", "value": 2}, {"list": [1, 2], "a/b": {"~": 2}}),
        ({"op": "move", "from": "/list/0", "path": "/one"}, {"list": [2], "a/b": {"~": 1}, "one": 1}),
        ({"op": "copy", "from": "/a~1b", "path": "/c"}, {"list": [1, 2], "a/b": {"~": 1}, "c": {"~": 1}}),
        ({"op": "test", "path": "/list", "value": [1, 2]}, {"list": [1, 2], "a/b": {"~": 1}}),
    ],
)
def test_json_patch_operations(operation: dict[str, Any], expected: Any) -> None:
    assert json_patch({"list": [1, 2], "a/b": {"~": 1}}, [operation]) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/missing"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "add", "path": "/list/7", "value": 1},
        {"op": "test", "path": "/list", "value": []},
    ],
)
def test_a_json_patch_that_does_not_fit_is_invalid(operation: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        json_patch({"list": [1, 2]}, [operation])
    assert refused.value.code == 422
