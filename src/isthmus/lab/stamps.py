"""Moments as Kubernetes writes them: `2026-04-22T10:00:00Z`."""

from datetime import UTC, datetime


def now() -> str:
    return written(datetime.now(UTC))


def written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(text: str) -> datetime:
    """Raises ValueError for anything else."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
