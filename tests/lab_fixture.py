"""A running lab for tests: two clusters in a temporary directory, one per test session."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

EAST, WEST = "cluster-east", "cluster-west"
BIN = Path(sys.executable).parent
COMMAND_TIMEOUT = 120.0


@dataclass
class Lab:
    """A lab and the commands to talk to it. Every command fails the test when it fails, unless `check` is off."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)

    def isthmus(self, *words: str, check: bool = True, timeout: float = COMMAND_TIMEOUT) -> str:
        """`isthmus lab ... --dir <this lab>`."""
        group, command, *rest = words
        return self._run(
            str(BIN / "isthmus"), group, command, "--dir", str(self.path), *rest, check=check, timeout=timeout
        )

    def demo(self) -> str:
        """Bring everything up as a newcomer does, by `isthmus demo`; what it printed."""
        printed = self._run(str(BIN / "isthmus"), "demo", "--dir", str(self.path))
        self.environment |= environment_of(self.path)
        return printed

    def kubectl(
        self, cluster: str, *words: str, stdin: str | None = None, check: bool = True, timeout: float = COMMAND_TIMEOUT
    ) -> str:
        """What kubectl prints on stdout, or, with `check` off, on both streams."""
        return self._run("kubectl", "--context", cluster, *words, stdin=stdin, check=check, timeout=timeout)

    def linkerd(self, cluster: str, *words: str, check: bool = True, timeout: float = COMMAND_TIMEOUT) -> str:
        return self._run("linkerd", *words, "--context", cluster, check=check, timeout=timeout)

    def apply(self, cluster: str, *manifests: Any) -> str:
        """Apply YAML text, or objects as Python values."""
        texts = [item if isinstance(item, str) else msgspec.json.encode(item).decode() for item in manifests]
        return self.kubectl(cluster, "apply", "-f", "-", stdin="".join(f"---\n{text}\n" for text in texts))

    def get(self, cluster: str, *words: str) -> Any:
        """An object, or a list's items, as Python values."""
        found = msgspec.json.decode(self.kubectl(cluster, "get", *words, "-o", "json"))
        return found.get("items", found)

    def exec(self, cluster: str, target: str, *command: str, namespace: str = "default", container: str = "") -> str:
        chosen = ("-c", container) if container else ()
        return self.kubectl(cluster, "-n", namespace, "exec", target, *chosen, "--", *command)

    def node(self, cluster: str, *command: str, check: bool = True) -> str:
        """Run a command in the network namespace of a cluster's node."""
        return self.isthmus("lab", "node", cluster, "--", *command, check=check)

    def popen_node(self, cluster: str, *command: str) -> "subprocess.Popen[str]":
        """Start a command, such as tcpdump, in the network namespace of a cluster's node."""
        words = [str(BIN / "isthmus"), "lab", "node", "--dir", str(self.path), cluster, "--", *command]
        return subprocess.Popen(
            words,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    @contextmanager
    def wan(self, *how: str, between: tuple[str, str] = (EAST, WEST)) -> Iterator[None]:
        """A bad network between two clusters, such as `"--delay", "20ms"`; good again at the end."""
        where = ("--between", ",".join(between))
        self.isthmus("lab", "wan", *where, *how)
        try:
            yield
        finally:
            self.isthmus("lab", "wan", *where, "--heal")

    @contextmanager
    def broken(self, kind: str, name: str, how: str) -> Iterator[None]:
        """A pod, node, apiserver or cluster that is broken: `kill`, `hang` or `blackhole`; healed at the end."""
        self.isthmus("lab", "break", kind, name, f"--{how}")
        try:
            yield
        finally:
            self.isthmus("lab", "break", kind, name, "--heal")

    def wait(self, condition: Callable[[], Any], *, what: str, timeout: float = 60.0) -> Any:
        """Ask until the answer is true, and return it."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.05)
        pytest.fail(f"after {timeout:.0f} s, still not: {what}")

    def _run(self, *words: str, stdin: str | None = None, check: bool = True, timeout: float = COMMAND_TIMEOUT) -> str:
        done = subprocess.run(
            words, env=self.environment, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            pytest.fail(f"`{' '.join(words)}` exited with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout if check else done.stdout + done.stderr


def start(path: Path, *options: str, clusters: str = f"{EAST},{WEST}") -> Lab:
    """Bring a lab up in a directory, with more options of `isthmus lab up`."""
    lab = Lab(path, dict(os.environ))
    lab.isthmus("lab", "up", "--clusters", clusters, *options)
    lab.environment |= environment_of(path)
    return lab


def environment_of(path: Path) -> dict[str, str]:
    """What `eval "$(isthmus lab env)"` sets."""
    return {"KUBECONFIG": str(path / "kubeconfig"), "PATH": f"{path / 'bin'}:{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two clusters, cluster-east and cluster-west, that last for the whole session."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    path = tmp_path_factory.mktemp("lab") / "lab"
    try:
        yield start(path)
    finally:
        Lab(path, dict(os.environ)).isthmus("lab", "down", check=False)
