"""Label and field selectors mean here what they mean everywhere."""

from typing import Any

import pytest

from isthmus.lab.api.contracts import ApiError
from isthmus.lab.api.selectors import matcher


def _matches(labels: str, fields: str, obj: dict[str, Any]) -> bool:
    predicate = matcher(labels, fields)
    return predicate is None or predicate(obj)


WEB = {"metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "example.org/tier": "1"}}}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,example.org/tier=1", True),
        ("app!=web", False),
        ("missing!=web", True),
        ("app in (web, api)", True),
        ("app notin (web)", False),
        ("missing notin (web)", True),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("app in (api),app=web", False),
    ],
)
def test_labels(selector: str, expected: bool) -> None:
    assert _matches(selector, "", WEB) is expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("metadata.name=web", True),
        ("metadata.name!=web", False),
        ("metadata.namespace=shop,metadata.name=api", False),
        ("spec.nodeName=", True),
        ("status.phase!=Running", True),
    ],
)
def test_fields(selector: str, expected: bool) -> None:
    assert _matches("", selector, WEB) is expected


@pytest.mark.parametrize(
    ("labels", "fields"), [("a~~b", ""), ("a in b", ""), ("a=(b)", ""), ("", "a"), ("", "spec.x=1")]
)
def test_what_is_no_selector_is_refused(labels: str, fields: str) -> None:
    with pytest.raises(ApiError) as refused:
        matcher(labels, fields)
    assert refused.value.code == 400
