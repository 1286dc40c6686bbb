"""How many traces begin at a pod: a percentage, as people write it in an annotation or a value."""

import re
from collections.abc import Mapping
from typing import Final

from isthmus import names

OFF: Final = "off"
WHOLE: Final = 1_000_000
"""All of them, in the unit in which proxies are told."""
_PERCENT: Final = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,4}))?")


class SamplingError(ValueError):
    """A sentence about what is wrong with the percentage."""


def parse(text: str) -> int | None:
    """Of a million traces, how many; None for no spans at all. Raises `SamplingError`."""
    if text.strip() == OFF:
        return None
    found = _PERCENT.fullmatch(text.strip())
    share = int(found[1] + (found[2] or "").ljust(4, "0")) if found else WHOLE + 1
    if share > WHOLE:
        raise SamplingError(f'it must be a percentage, 0 to 100 with four decimals at most, or "{OFF}"')
    return share


def sampling(annotations: Mapping[str, str]) -> int | None:
    """What a pod's annotations say, None for no spans: its proxy knows no collector, or is to be silent.

    A malformed percentage counts as silence: the injector refuses it, so it came later.
    """
    if names.TRACING_COLLECTOR_ANNOTATION not in annotations:
        return None
    try:
        return parse(annotations.get(names.TRACING_SAMPLING_ANNOTATION, OFF))
    except SamplingError:
        return None
