"""Running the load of `load.py` inside the frontend's pod."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.lab_fixture import WEST, Lab

PROGRAM = Path(__file__).with_name("load.py")
LONGEST = 60.0
ENOUGH = "/tmp/enough"


@dataclass
class Running:
    process: "subprocess.Popen[str]"
    result: dict[str, Any] | None = None
    timeline: list[dict[str, int]] = field(default_factory=list)
    """Once it has ended: how many requests each pod answered in each half second."""

    def answered(self, wanted: int) -> None:
        """Wait until so many requests were answered."""
        for line in self.process.stdout or ():
            word, _, number = line.partition(" ")
            if word == "progress" and int(number) >= wanted:
                return
        pytest.fail(f"the load ended before {wanted} requests were answered")

    def finish(self) -> dict[str, Any]:
        """The report, once the load has ended by itself."""
        printed, _ = self.process.communicate(timeout=LONGEST)
        assert self.process.returncode == 0, printed
        found: dict[str, Any] = json.loads(printed.splitlines()[-1])
        self.timeline = found.pop("timeline")
        return found


@contextmanager
def load(
    lab: Lab,
    host: str,
    *,
    connections: int,
    requests: int,
    seconds: float = 0.0,
    rate: float = 0.0,
    path: str = "/health",
    cluster: str = WEST,
    until: str = "",
) -> Iterator[Running]:
    """Load from a frontend on `http://host:8080`; with `until`, until there is such a file in its container."""
    inside = ("python", "-I", "-S", "-", host, "8080", path, *map(str, (connections, requests, seconds, rate)))
    inside += (until,) if until else ()
    words = ("kubectl", "--context", cluster, "exec", "-i", "deploy/frontend", "-c", "frontend", "--", *inside)
    process = subprocess.Popen(
        words, env=lab.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert process.stdin is not None
        process.stdin.write(PROGRAM.read_text())
        process.stdin.close()
        process.stdin = None
        yield Running(process)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def lasting(lab: Lab, host: str, *, connections: int, rate: float, cluster: str = WEST) -> Iterator[Running]:
    """Load that lasts until it is `enough`."""
    with load(lab, host, connections=connections, requests=0, rate=rate, cluster=cluster, until=ENOUGH) as running:
        yield running


def enough(lab: Lab, running: Running, *, cluster: str = WEST) -> dict[str, Any]:
    """The report of a load that lasted until now."""
    lab.exec(cluster, "deploy/frontend", "touch", ENOUGH, container="frontend")
    try:
        return running.finish()
    finally:
        lab.exec(cluster, "deploy/frontend", "rm", ENOUGH, container="frontend")
