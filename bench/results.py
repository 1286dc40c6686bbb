"""What the runs say together: medians per cell, and the design's numbers against what was measured. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench.idle import PROXY, Idle
from bench.load import Run
from bench.paths import DIRECT, TERMINATING, TUNNEL

PROXIES: Final = ("client", "gateway", "server")
SHARE_OF_L7: Final = 0.25
ADDED_MILLISECONDS: Final = 0.15
PROXY_MEGABYTES: Final = 30.0


@dataclass(frozen=True, slots=True)
class Cell:
    """A load: so many connections asking for this path of the application, which runs in so many pods."""

    name: str
    connections: int
    path: str = "/"
    servers: int = 1


ONE: Final = Cell("1 connection", 1)
THIRTY_TWO: Final = Cell("32 connections", 32)
SPREAD: Final = Cell("32 connections, 3 servers", 32, servers=3)
CELLS: Final = (
    ONE,
    THIRTY_TWO,
    Cell("128 connections", 128),
    Cell("1 MB bodies, 8 connections", 8, "/big"),
    SPREAD,
)

Runs = dict[tuple[str, str], list[Run]]
"""(cell, path) -> its runs, one per round."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians over the rounds. CPU in microseconds per request, by role."""

    path: str
    rps: float
    p50: float
    p99: float
    cpu: Mapping[str, float]
    failed: int

    @property
    def proxies(self) -> float:
        return sum(self.cpu.get(role, 0.0) for role in PROXIES)


@dataclass(frozen=True, slots=True)
class Target:
    """A number of the design and what this run showed."""

    name: str
    measured: float
    wanted: float
    unit: str

    @property
    def met(self) -> bool:
        return self.measured <= self.wanted


def summary(path: str, runs: Sequence[Run]) -> Summary:
    return Summary(
        path=path,
        rps=median(run.rps for run in runs),
        p50=median(run.p50 for run in runs),
        p99=median(run.p99 for run in runs),
        cpu={role: median(run.cpu[role] for run in runs) for role in runs[0].cpu},
        failed=sum(run.failed for run in runs),
    )


def share_of_l7(runs: Runs, cell: Cell) -> float:
    """Gateway CPU per request, tunnel over L7: of runs next to each other, so that the machine's mood cancels out."""
    pairs = zip(runs[cell.name, TUNNEL], runs[cell.name, TERMINATING], strict=True)
    return median(tunnel.cpu["gateway"] / terminating.cpu["gateway"] for tunnel, terminating in pairs)


def added_latency(runs: Runs) -> float:
    """Milliseconds that the tunnel adds to a request on an open connection, at the median."""
    pairs = zip(runs[ONE.name, TUNNEL], runs[ONE.name, DIRECT], strict=True)
    return median(tunnel.p50 - direct.p50 for tunnel, direct in pairs)


def targets(runs: Runs, idle: Sequence[Idle]) -> tuple[Target, ...]:
    (proxy,) = (each for each in idle if each.name == PROXY)
    return (
        Target(
            "gateway CPU per request at 32 connections, tunnel / L7 gateway",
            share_of_l7(runs, THIRTY_TWO),
            SHARE_OF_L7,
            "",
        ),
        Target(
            "the same, with the requests spread over 3 servers",
            share_of_l7(runs, SPREAD),
            SHARE_OF_L7,
            "",
        ),
        Target("added latency of the tunnel, 1 connection, p50", added_latency(runs), ADDED_MILLISECONDS, " ms"),
        Target("private memory of an idle proxy container", proxy.memory, PROXY_MEGABYTES, " MB"),
    )
