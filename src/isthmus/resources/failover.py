"""What an object's annotations say of failover: who comes first, and when the others help."""

from collections.abc import Mapping

from isthmus import names


def primary(annotations: Mapping[str, str]) -> str:
    """The backend that gets the traffic, while the others stand by; "" where weights say so."""
    return annotations.get(names.PRIMARY_ANNOTATION, "").strip()


def spill_below(annotations: Mapping[str, str]) -> int | None:
    """Percent of a group's endpoints that must be ready for it to carry everything; None if it does not say."""
    text = annotations.get(names.SPILL_BELOW_ANNOTATION, "").strip().removesuffix("%")
    return int(text) if text.isdecimal() and text.isascii() and int(text) <= 100 else None


def unreadable(annotations: Mapping[str, str]) -> str:
    """What of it means nothing, in words; "" if all of it can be read."""
    if names.SPILL_BELOW_ANNOTATION in annotations and spill_below(annotations) is None:
        return f"{names.SPILL_BELOW_ANNOTATION} is {annotations[names.SPILL_BELOW_ANNOTATION]!r}; write 0 to 100"
    return ""
