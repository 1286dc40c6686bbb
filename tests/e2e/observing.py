"""Streams of what happens in a lab, each line with the moment it was seen: watches and traffic."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from tests.lab_fixture import WEST, Lab

EAST_BACKEND = "http://backend-cluster-east:8080/health"
REQUEST = "%{http_code} %header{l5d-proxy-error}\\n"


@dataclass(frozen=True)
class Line:
    """What was printed, and when it was seen."""

    at: float
    text: str


class Stream:
    """The lines of a command that goes on."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        self._lines: list[Line] = []
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            with self._changed:
                self._lines.append(Line(time.monotonic(), text.strip()))
                self._changed.notify_all()

    def since(self, moment: float) -> list[Line]:
        with self._changed:
            return [line for line in self._lines if line.at >= moment]

    def first(
        self, matches: Callable[[str], bool], *, since: float = 0.0, what: str = "it to happen", timeout: float = 15.0
    ) -> Line:
        """The first line after a moment that matches; waits for it."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self._lines:
                    if line.at >= since and matches(line.text):
                        return line
                if not self._changed.wait(deadline - time.monotonic()):
                    last = [line.text for line in self._lines[-5:]]
                    pytest.fail(f"waited {timeout:g} s for {what}; the last lines were {last}")

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def stream(lab: Lab, *words: str) -> Iterator[Stream]:
    """A command that is ended with the block."""
    started = Stream(list(words), lab.environment)
    try:
        yield started
    finally:
        started.end()


@contextmanager
def watch(lab: Lab, cluster: str, kind: str, *words: str, show: str) -> Iterator[Stream]:
    """`kubectl get --watch`: for each event its type and what the JSONPath `show` finds in the object."""
    output = f'jsonpath={{.type}} {show}{{"\\n"}}'
    with stream(
        lab, "kubectl", "--context", cluster, "get", kind, *words, "--watch", "--output-watch-events", "-o", output
    ) as started:
        yield started


def in_frontend(lab: Lab, script: str, *, cluster: str = WEST) -> AbstractContextManager[Stream]:
    """What a shell script prints that runs in the frontend's container."""
    words = ("exec", "deploy/frontend", "-c", "frontend", "--", "sh", "-c", script)
    return stream(lab, "kubectl", "--context", cluster, *words)


@contextmanager
def traffic(lab: Lab, url: str = EAST_BACKEND, *, cluster: str = WEST, resolved: str = "") -> Iterator[Stream]:
    """Requests one after the other from inside the frontend; each line is `<status> <l5d-proxy-error>`.

    With `resolved`, as by a client that has asked DNS before and keeps the address.
    """
    parts = urlsplit(url)
    known = f"--resolve {parts.hostname}:{parts.port}:{resolved}" if resolved else ""
    script = f"while :; do curl -s -o /dev/null --max-time 5 {known} -w '{REQUEST}' {url}; sleep 0.02; done"
    with in_frontend(lab, script, cluster=cluster) as started:
        started.first(lambda text: text[:3].isdecimal(), what="a first answer")
        yield started


def instances(lab: Lab, cluster: str) -> dict[str, int]:
    """Every pod by its uid, and how often its containers were started again."""
    return {
        pod["metadata"]["uid"]: sum(
            state["restartCount"]
            for kind in ("initContainerStatuses", "containerStatuses")
            for state in pod["status"].get(kind) or ()
        )
        for pod in lab.get(cluster, "pods", "-A")
    }
