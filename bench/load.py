"""One run of h2load inside a pod's network: requests, their times, and what the run cost whom."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

from bench.cluster import BenchError
from bench.processes import Process, cpu


@dataclass(frozen=True, slots=True)
class Run:
    """What one run showed. CPU in microseconds per request, by role; times in milliseconds."""

    requests: int
    failed: int
    rps: float
    p50: float
    p99: float
    cpu: Mapping[str, float]


def run(url: str, *, within: Process, connections: int, seconds: int, roles: Mapping[str, tuple[Process, ...]]) -> Run:
    """Load `url` from the network of `within` for so many seconds over kept-alive HTTP/1.1 connections."""
    with tempfile.NamedTemporaryFile(prefix="isthmus-bench-", dir=_fast_folder()) as log:
        words = [
            *_into(within),
            "h2load",
            "--h1",
            f"--clients={connections}",
            "--threads=1",
            f"--duration={seconds}",
            f"--log-file={log.name}",
            url,
        ]
        before = {role: cpu(processes) for role, processes in roles.items()}
        usage = os.times().children_user + os.times().children_system
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds + 30, check=False)
        after = {role: cpu(processes) for role, processes in roles.items()}
        generator = os.times().children_user + os.times().children_system - usage
        times, failed = answers(log.name)
    if done.returncode or not times:
        raise BenchError(f"`{' '.join(words)}` answered no request: {(done.stderr + done.stdout).strip()[-500:]}")
    count = len(times)
    spent = {role: (after[role] - before[role]) * 1e6 / count for role in roles}
    ordered = sorted(times)
    return Run(
        requests=count,
        failed=failed,
        rps=count / seconds,
        p50=ordered[count // 2] / 1000,
        p99=ordered[min(count - 1, count * 99 // 100)] / 1000,
        cpu={**spent, "load": generator * 1e6 / count},
    )


def _into(process: Process) -> list[str]:
    """Only the network is the pod's; like any application there, h2load is not the proxy's user."""
    return ["nsenter", f"--target={process.pid}", "--net"]


def answers(path: str) -> tuple[list[int], int]:
    """h2load's log: microseconds of every answered request, and how many were not answered with 200."""
    times: list[int] = []
    failed = 0
    with open(path) as lines:
        for line in lines:
            _, status, taken = line.split("\t")
            times.append(int(taken))
            failed += status != "200"
    return times, failed


def _fast_folder() -> str | None:
    """h2load writes a line per request; memory keeps the disk out of the picture."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
