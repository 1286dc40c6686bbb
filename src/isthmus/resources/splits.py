"""TrafficSplits: how the traffic of a service is shared, and who stands by."""

import re
from fractions import Fraction
from typing import Final

import msgspec

from isthmus import names
from isthmus.kube.kinds import Kind
from isthmus.kube.meta import Key, Meta

WEIGHT_PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,9})?(m|k)?$"
"""A weight that is written as text: v1alpha1 has quantities such as `500m`."""
WEIGHT_LIMIT: Final = 1_000_000_000
_SUFFIXES: Final = {"m": Fraction(1, 1000), "k": Fraction(1000), None: Fraction(1)}


class Backend(msgspec.Struct, frozen=True, gc=False):
    service: str = ""
    weight: int | float | str = 0

    @property
    def share(self) -> Fraction | None:
        """The weight as a number, 0 for a standby; None when it cannot be read, which our own schema rules out."""
        if not isinstance(self.weight, str):
            return Fraction(self.weight) if 0 <= self.weight <= WEIGHT_LIMIT else None
        matched = re.fullmatch(WEIGHT_PATTERN, self.weight)
        if matched is None:
            return None
        number = self.weight.removesuffix(matched[2] or "")
        return Fraction(number) * _SUFFIXES[matched[2]]


class TrafficSplitSpec(msgspec.Struct, frozen=True, gc=False):
    service: str = ""
    backends: tuple[Backend, ...] | None = None


class TrafficSplit(msgspec.Struct, frozen=True, gc=False):
    metadata: Meta = Meta()
    spec: TrafficSplitSpec = TrafficSplitSpec()

    @property
    def root(self) -> Key:
        """The Service that clients call."""
        return self.metadata.namespace, self.spec.service

    @property
    def backends(self) -> tuple[Backend, ...]:
        return self.spec.backends or ()


TRAFFIC_SPLITS = Kind(f"{names.SPLIT_GROUP}/{names.SPLIT_VERSION}", "TrafficSplit", "trafficsplits", TrafficSplit)
