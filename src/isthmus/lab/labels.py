"""Label selectors as objects carry them: `matchLabels` and `matchExpressions`."""

from collections.abc import Callable, Mapping
from typing import Any, Final

_OPERATORS: Final[dict[str, Callable[[str | None, list[str]], bool]]] = {
    "In": lambda value, values: value is not None and value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str] | None) -> bool:
    """Whether a selector takes these labels. No selector, and an empty one, take everything."""
    selector, labels = selector or {}, labels or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(term, labels) for term in selector.get("matchExpressions") or ())


def _holds(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Nothing satisfies an operator that there is not."""
    operator = _OPERATORS.get(term["operator"])
    return operator is not None and operator(labels.get(term["key"]), term.get("values") or [])
