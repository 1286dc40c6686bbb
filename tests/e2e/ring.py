"""Three clusters that were installed each by itself, a backend and a frontend in each, and words to link them."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.loading import Running, load
from tests.lab_fixture import Lab

import isthmus.cli
from isthmus import names

NORTH, EAST, SOUTH = "north", "east", "south"
CLUSTERS = (NORTH, EAST, SOUTH)
AROUND = ((NORTH, EAST), (EAST, SOUTH), (SOUTH, NORTH))
"""Who is linked to whom in the ring."""
PAIRS = tuple((one, other) for one in CLUSTERS for other in CLUSTERS if one != other)
EXTENSION = names.MULTICLUSTER_NAMESPACE
BACKENDS = 2
RATE = 500.0
CONNECTIONS = 8
MOST_LAZY = 100.0
"""Requests a second that a load must make on the busiest machine, so that none failing means something."""
LONGEST_GAP = 2000.0
"""Milliseconds that one request may take while its traffic moves."""
EXAMPLES = Path(isthmus.cli.__file__).with_name("examples")


def each(do: Callable[[Any], Any], things: Iterable[Any] = CLUSTERS) -> None:
    """The same with all clusters, or other things, at once."""
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(do, things))


def prepare(lab: Lab) -> None:
    """Everything but the links."""
    backend = (EXAMPLES / "backend.yaml").read_text().replace("replicas: 3", f"replicas: {BACKENDS}")
    frontend = (EXAMPLES / "frontend.yaml").read_text().replace("replicas: 2", "replicas: 1")

    def install(cluster: str) -> None:
        lab.apply(cluster, lab.linkerd(cluster, "install"))
        gateways = ("--set", "gateway.replicas=2") if cluster == EAST else ()
        lab.apply(cluster, lab.linkerd(cluster, "multicluster", "install", "--wait", "60s", *gateways))
        rollout(lab, cluster, "linkerd-proxy-injector", namespace="linkerd")
        lab.apply(cluster, backend, frontend)
        for name in ("backend", "frontend"):
            rollout(lab, cluster, name)
        for name in (names.GATEWAY, names.MULTICLUSTER_CONTROLLER):
            rollout(lab, cluster, name, namespace=EXTENSION)

    each(install)


def rollout(lab: Lab, cluster: str, name: str, *, namespace: str = "default") -> None:
    lab.kubectl(cluster, "-n", namespace, "rollout", "status", f"deploy/{name}", "--timeout", "60s")


def link(lab: Lab, cluster: str, *, to: str) -> None:
    """Link one cluster to another and wait until that is ready."""
    lab.apply(cluster, lab.linkerd(to, "multicluster", "link", "--cluster-name", to))
    ready = ("wait", f"link/linkerd-{to}", "--for", "condition=Ready", "--timeout", "60s")
    lab.kubectl(cluster, "-n", EXTENSION, *ready)


def unlink(lab: Lab, cluster: str, *, to: str) -> None:
    words = ("delete", "--ignore-not-found", "--timeout", "60s", f"link/linkerd-{to}")
    lab.kubectl(cluster, "-n", EXTENSION, *words, f"secret/cluster-credentials-{to}")


def links(lab: Lab, cluster: str) -> set[str]:
    return {item["spec"]["targetClusterName"] for item in lab.get(cluster, "links", "-A")}


def link_exactly(lab: Lab, pairs: tuple[tuple[str, str], ...]) -> None:
    """These Links and no others, all of them ready."""

    def settle(cluster: str) -> None:
        wanted, there = {target for source, target in pairs if source == cluster}, links(lab, cluster)
        for target in there - wanted:
            unlink(lab, cluster, to=target)
        for target in wanted - there:
            link(lab, cluster, to=target)
        for target in wanted:
            lab.wait(lambda target=target: mirrored(lab, cluster, target), what=f"{target}'s backend in {cluster}")

    each(settle)


def mirrored(lab: Lab, cluster: str, target: str) -> bool:
    return bool(lab.kubectl(cluster, "get", "service", f"backend-{target}", "--ignore-not-found"))


def ask(lab: Lab, cluster: str, host: str, *, path: str = "/health") -> dict[str, Any]:
    """What a backend says to a cluster's frontend, or the status and the reason of whoever refused."""
    shown = "\\n%{http_code} %header{l5d-proxy-error}"
    url = f"http://{host}:8080{path}"
    command = ("curl", "-s", "--max-time", "5", "-w", shown, url)
    words = ("exec", "deploy/frontend", "-c", "frontend", "--", *command)
    body, _, told = lab.kubectl(cluster, *words, check=False).rpartition("\n")
    status, _, why = told.partition(" ")
    return {**(json.loads(body) if status == "200" else {}), "status": status, "why": why}


def backends(lab: Lab, cluster: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in lab.get(cluster, "pods", "-l", "app=backend")}


def trust_domain(lab: Lab, cluster: str) -> str:
    roots = lab.get(cluster, "configmap", names.TRUST_ROOTS_CONFIG_MAP, "-n", names.CONTROL_PLANE_NAMESPACE)
    return str(roots["data"][names.TRUST_DOMAIN_KEY])


@contextmanager
def scaled(lab: Lab, cluster: str, replicas: int) -> Iterator[None]:
    """The backend with so many pods, afterwards as before."""
    lab.kubectl(cluster, "scale", "deploy/backend", "--replicas", str(replicas))
    try:
        yield
    finally:
        lab.kubectl(cluster, "scale", "deploy/backend", "--replicas", str(BACKENDS))
        rollout(lab, cluster, "backend")


@dataclass
class Steady:
    """A load that goes on until somebody asks for its report."""

    lab: Lab
    cluster: str
    until: str
    running: Running

    def report(self) -> dict[str, Any]:
        self.lab.exec(self.cluster, "deploy/frontend", "touch", self.until, container="frontend")
        try:
            return self.running.finish()
        finally:
            self.lab.exec(self.cluster, "deploy/frontend", "rm", self.until, container="frontend")


@contextmanager
def steady(
    lab: Lab, cluster: str, host: str, *, rate: float = RATE, connections: int = CONNECTIONS, answered: int = 200
) -> Iterator[Steady]:
    """GETs from a cluster's frontend at a steady rate; some were answered when the block begins."""
    until = f"/tmp/end-of-{host}"
    with load(lab, host, connections=connections, requests=0, rate=rate, cluster=cluster, until=until) as running:
        running.answered(answered)
        yield Steady(lab, cluster, until, running)


def without_failure(result: dict[str, Any], *, slowest: float = LONGEST_GAP) -> None:
    """Nobody missed an answer, nobody waited long, and it was a load."""
    assert result["failed"] == 0, result["failures"]
    assert result["slowest_ms"] < slowest
    assert result["requests"] >= MOST_LAZY * result["seconds"]
