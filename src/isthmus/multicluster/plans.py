"""What mirrors are planned from, and what a plan is: plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from isthmus.kube.meta import Key
from isthmus.multicluster.links import Mode
from isthmus.multicluster.objects import Service, Slice

Reason = Literal["Mirrored", "InvalidService", "MissingNamespace", "Error"]


@dataclass(frozen=True, slots=True)
class Export:
    """A remote Service that a Link selects, and whether any of its endpoints is ready.

    `hosts` are the hostnames of its endpoints and whether each is ready; None where there is no endpoint at all.
    """

    service: Service
    ready: bool
    mode: Mode = "gateway"
    hosts: Mapping[str, bool] | None = None


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """One address of a gateway: an IP address, and a port of the probe Service that leads there alone (0: none)."""

    ip: str
    port: int
    probe_port: int = 0
    alive: bool = True


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where the target's gateway answers now and whether it does."""

    addresses: tuple[GatewayAddress, ...]
    identity: str
    alive: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one exported service; `local` is the key of its mirror, or of the federated Service."""

    remote: Key
    local: Key
    reason: Reason
    message: str = ""

    @property
    def mirrored(self) -> bool:
        return self.reason == "Mirrored"


@dataclass(frozen=True, slots=True)
class Plan:
    """The objects that should exist for one Link, and one outcome for each exported service."""

    services: Mapping[Key, Service]
    slices: Mapping[Key, Slice]
    outcomes: tuple[Outcome, ...]


NOTHING: Final = Plan({}, {}, ())
"""The plan of a Link that is being deleted, or that another Link to the same target precedes."""
