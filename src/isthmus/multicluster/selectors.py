"""Label selectors, and which remote Services a Link's selector exports."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from isthmus import names
from isthmus.multicluster.objects import Service

Selector = Mapping[str, Any]
"""`matchLabels` and `matchExpressions`, as in the API."""

_EXPORTING: Final = (names.EXPORTED, names.FEDERATED)
_HOLDS: Final = {
    "In": lambda value, values: value is not None and value in values,
    "NotIn": lambda value, values: value is None or value not in values,
    "Exists": lambda value, values: value is not None,
    "DoesNotExist": lambda value, values: value is None,
}


def selects(selector: Selector | None, labels: Mapping[str, str]) -> bool:
    """Whether all requirements hold. A missing or empty selector, or one with an unknown operator, selects nothing."""
    wanted: Mapping[str, str] = (selector or {}).get("matchLabels") or {}
    expressions: Sequence[Mapping[str, Any]] = (selector or {}).get("matchExpressions") or ()
    if not wanted and not expressions:
        return False
    return all(labels.get(name) == text for name, text in wanted.items()) and all(
        _holds(expression, labels) for expression in expressions
    )


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    test = _HOLDS.get(expression.get("operator", ""))
    return test is not None and test(labels.get(expression.get("key", "")), expression.get("values") or ())


def exported(selector: Selector | None, service: Service) -> bool:
    """Whether the selector of a Link chooses the service; annotations that export count as labels of their name.

    A mirror is never exported again: that would make clusters mirror each other's mirrors.
    """
    metadata = service.metadata
    if metadata.labels.get(names.MIRRORED_SERVICE_LABEL) == "true":
        return False
    said = {name: text for name in _EXPORTING if (text := metadata.annotations.get(name)) is not None}
    return selects(selector, {**said, **metadata.labels} if said else metadata.labels)
