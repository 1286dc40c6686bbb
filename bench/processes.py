"""A pod's processes as the kernel knows them: CPU time to the nanosecond, and memory of their own."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.cluster import NAMESPACE, BenchError, Cluster
from isthmus import names

BASELINE_CONFIG: Final = "/tmp/baseline.json"  # noqa: S108 - a path inside a pod
SERVER_CONFIG: Final = "/bench/server.json"
_CONTROLLER: Final = "isthmus.controller"
_PROC: Final = Path("/proc")
_WRAPPERS: Final = ("unshare", "nsenter", "setpriv")


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    uid: int
    command: str

    def cpu(self) -> float:
        """Seconds of CPU time of all its threads. Threads that ended are not in it; Envoy's do not end.

        The same number as utime + stime in /proc/<pid>/stat, in nanoseconds instead of hundredths of a second.
        """
        tasks = (_PROC / str(self.pid) / "task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def private_memory(self) -> float:
        """Megabytes that no file stands behind: RssAnon."""
        status = (_PROC / str(self.pid) / "status").read_text()
        found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
        return int(found[1]) / 1024 if found else 0.0


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod's processes, found by its network namespace at the time it was looked at."""

    name: str
    processes: tuple[Process, ...]

    @property
    def proxy(self) -> tuple[Process, ...]:
        """The proxy container: Envoy and the agent."""
        return self._some("proxy", (each for each in self._of_proxy() if BASELINE_CONFIG not in each.command))

    @property
    def envoy(self) -> tuple[Process, ...]:
        """The Envoy of the proxy container: what requests pass through."""
        return self._some("Envoy", (each for each in self.proxy if Path(each.command.split(" ")[0]).name == "envoy"))

    @property
    def baseline(self) -> tuple[Process, ...]:
        return self._some("baseline", (each for each in self._of_proxy() if BASELINE_CONFIG in each.command))

    @property
    def application(self) -> tuple[Process, ...]:
        return self._some("application", (each for each in self._programs() if SERVER_CONFIG in each.command))

    @property
    def controller(self) -> tuple[Process, ...]:
        return self._some("controller", (each for each in self._programs() if _CONTROLLER in each.command))

    def _of_proxy(self) -> Iterator[Process]:
        return (each for each in self._programs() if each.uid == names.PROXY_UID)

    def _programs(self) -> Iterator[Process]:
        """What runs in containers, without the programs that started it."""
        return (each for each in self.processes if Path(each.command.split(" ")[0]).name not in _WRAPPERS)

    def _some(self, role: str, found: Iterable[Process]) -> tuple[Process, ...]:
        some = tuple(found)
        if not some:
            raise BenchError(f"pod {self.name} has no process that is its {role}")
        return some


def look(cluster: Cluster, pod: str, container: str, namespace: str = NAMESPACE) -> Pod:
    network = cluster.execute(pod, container, "readlink", "/proc/self/ns/net", namespace=namespace).strip()
    return Pod(pod, tuple(_inside(network)))


def cpu(processes: Iterable[Process]) -> float:
    return sum(process.cpu() for process in processes)


def _inside(network: str) -> Iterator[Process]:
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if os.readlink(folder / "ns/net") == network:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                yield Process(int(folder.name), folder.stat().st_uid, command)
        except OSError:
            continue  # it ended while we looked
