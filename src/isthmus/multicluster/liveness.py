"""Whether a gateway counts as alive, from the results of its probes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

State = Literal["Probing", "Alive", "Down"]
Event = Literal["answered", "failed", "failed too often"]

TRANSITIONS: Final[Mapping[tuple[State, Event], State]] = {
    ("Probing", "answered"): "Alive",
    ("Probing", "failed"): "Probing",
    ("Probing", "failed too often"): "Down",
    ("Alive", "answered"): "Alive",
    ("Alive", "failed"): "Alive",
    ("Alive", "failed too often"): "Down",
    ("Down", "answered"): "Alive",
    ("Down", "failed"): "Down",
    ("Down", "failed too often"): "Down",
}


@dataclass(frozen=True, slots=True)
class Liveness:
    """What is known of one gateway. A gateway that was never probed counts as alive, so a restart breaks nothing."""

    state: State = "Probing"
    failures: int = 0
    latency_ms: float | None = None
    problem: str = ""
    """Why the last probe failed; "" if it was answered."""
    remark: str = ""
    """What the last answer was instead of the one that was asked for."""
    reason: str = ""
    """Of the condition `GatewayAlive`, once somebody looked closer at why it does not answer."""

    @property
    def alive(self) -> bool:
        return self.state != "Down"

    @property
    def words(self) -> tuple[str, str, str]:
        """What a condition says of it."""
        return self.problem, self.remark, self.reason

    def answered(self, latency_ms: float, remark: str = "") -> "Liveness":
        """It is there; `remark` is what it said instead of what was asked for."""
        return Liveness(TRANSITIONS[self.state, "answered"], 0, latency_ms, remark=remark)

    def failed(self, problem: str, threshold: int, reason: str = "") -> "Liveness":
        failures = self.failures + 1
        event: Event = "failed too often" if failures >= threshold else "failed"
        state = TRANSITIONS[self.state, event]
        latency = None if state == "Down" else self.latency_ms
        return replace(self, state=state, failures=failures, latency_ms=latency, problem=problem, reason=reason)

    def counts(self, threshold: int) -> bool:
        """Whether one more failure means that it is down, or it is already: then the reason matters."""
        return self.state == "Down" or self.failures + 1 >= threshold
