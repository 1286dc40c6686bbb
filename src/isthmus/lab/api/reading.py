"""Reading objects that may lack anything, and words for time that has passed."""

from datetime import UTC, datetime
from typing import Any

from isthmus.lab import stamps


def get(obj: Any, *path: str) -> Any:
    for step in path:
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def items(obj: Any, *path: str) -> list[Any]:
    found = get(obj, *path)
    return found if isinstance(found, list) else []


def age(stamp: Any) -> str:
    """How long ago, as kubectl words it: 45s, 3m10s, 5h, 12d."""
    try:
        then = stamps.read(str(stamp))
    except ValueError:
        return "<unknown>"
    return duration(max(0, int((datetime.now(UTC) - then).total_seconds())))


def duration(seconds: int) -> str:
    """Seconds in kubectl's short form, with less detail the longer it is."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    return f"{days // 365}y{days % 365}d" if days < 2920 else f"{days // 365}y"
