"""Where a lab keeps its files, and what it remembers of itself between commands."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from isthmus.lab.faults import Faults
from isthmus.lab.topology import Cluster, clusters

DIR_VARIABLE: Final = "ISTHMUS_LAB_DIR"
RECORDED: Final = b"recorded"
"""What the daemon is told once `down` will find it."""


class LabError(Exception):
    """Something a person can act on: one sentence saying what is wrong, and what to do next."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a lab is: its clusters in order, the host port of each API server, and the process that holds it all.

    `started` is the kernel's start time of that process, so that a recycled pid is never taken for it.
    `flat`: pods of all clusters have addresses of their own, and routes to each other.
    """

    clusters: list[str]
    ports: dict[str, int]
    flat: bool = False
    nodes: int = 1
    """Of each cluster."""
    pid: int = 0
    started: int = 0


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """One process that the daemon keeps running, with its pid inside the lab."""

    pid: int
    restarts: int
    last_exit: str = ""


def default_dir(environment: Mapping[str, str]) -> Path:
    """$ISTHMUS_LAB_DIR, else the user's state directory."""
    if chosen := environment.get(DIR_VARIABLE):
        return Path(chosen)
    state = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "isthmus" / "lab"


@dataclass(frozen=True, slots=True)
class LabDir:
    """The files of one lab. Everything a lab writes lies under `path`."""

    path: Path

    @property
    def kubeconfig(self) -> Path:
        return self.path / "kubeconfig"

    @property
    def bin(self) -> Path:
        return self.path / "bin"

    @property
    def daemon_log(self) -> Path:
        return self.path / "daemon.log"

    def log(self, cluster: str, process: str) -> Path:
        return self.path / cluster / f"{process}.log"

    def clusters(self, record: Record) -> tuple[Cluster, ...]:
        return clusters(tuple(record.clusters), self.path, flat=record.flat, nodes=record.nodes)

    def read_record(self) -> Record | None:
        """What the lab remembers, None when there is none here."""
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=Record)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise LabError(
                f"{self._record} is damaged ({error}): end the process `isthmus.lab.daemon --dir {self.path}` if there "
                "is one, remove that folder, then `isthmus lab up` again."
            ) from None

    def strangers(self) -> list[str]:
        """What lies in a folder that no lab has been in."""
        return sorted(entry.name for entry in self.path.iterdir() if not entry.name.startswith(f".{self._record.name}"))

    def write_record(self, record: Record) -> None:
        _replace(self._record, msgspec.json.encode(record))

    def read_health(self) -> dict[str, Health]:
        """The daemon's processes, by `<cluster>/<process>`; empty until it has started them."""
        try:
            return msgspec.json.decode(self._health.read_bytes(), type=dict[str, Health])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def write_health(self, health: Mapping[str, Health]) -> None:
        _replace(self._health, msgspec.json.encode(dict(health)))

    @property
    def orders(self) -> Path:
        """The socket where the daemon is told what to break."""
        return self.path / "orders.sock"

    def read_faults(self) -> Faults:
        """What is broken on purpose."""
        try:
            return msgspec.json.decode(self._faults.read_bytes(), type=Faults)
        except (FileNotFoundError, msgspec.DecodeError):
            return Faults()

    def write_faults(self, faults: Faults) -> None:
        _replace(self._faults, msgspec.json.encode(faults))

    def clear_health(self) -> None:
        self._health.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One `up` or `down` at a time. The lock goes with the process that holds it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabError(
                    f"Another `isthmus lab` command is working on {self.path}: wait for it to end, then try again."
                ) from None
            yield
        finally:
            os.close(handle)

    @property
    def _record(self) -> Path:
        return self.path / "lab.json"

    @property
    def _faults(self) -> Path:
        return self.path / "faults.json"

    @property
    def _health(self) -> Path:
        return self.path / "processes.json"


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)
