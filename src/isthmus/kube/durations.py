"""Durations as Kubernetes and Linkerd write them: `24h`, `90s`, `1h30m`, `100ms`."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def parse(text: str) -> timedelta:
    """The duration, or a ValueError that shows what one looks like."""
    parts = _PART.findall(text)
    if not parts or "".join(amount + unit for amount, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 24h, 1h30m or 20s")
    try:
        return timedelta(seconds=sum(float(amount) * _UNITS[unit] for amount, unit in parts))
    except OverflowError as error:
        raise ValueError(f"{text[:40]!r} is too long a duration") from error
