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
    return all(
        _OPERATORS[term["operator"]](labels.get(term["key"]), term.get("values") or [])
        for term in selector.get("matchExpressions") or ()
    )
