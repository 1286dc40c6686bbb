"""What a mesh costs that carries nothing: memory of its own and CPU of every kind of process."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bench.cluster import Cluster
from bench.paths import client_of, gateway_of
from bench.processes import Process, cpu, look
from isthmus import names

PROXY: Final = "proxy container (Envoy and agent)"
GATEWAY: Final = "gateway's proxy container"


@dataclass(frozen=True, slots=True)
class Idle:
    """One kind of process: private memory before and after the load (MB), and CPU (% of a core) before it."""

    name: str
    memory: float
    memory_after_load: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Watched:
    name: str
    processes: tuple[Process, ...]

    def memory(self) -> float:
        return sum(process.private_memory() for process in self.processes)


def watched(east: Cluster, west: Cluster) -> tuple[Watched, ...]:
    """One of each kind. The proxy is the client's in west, which knows both clusters."""
    client = client_of(west)
    return (
        Watched(PROXY, client.proxy),
        Watched("  of that, Envoy", client.envoy),
        Watched(GATEWAY, gateway_of(east).proxy),
        *(
            Watched(name, _controller(west, name, names.CONTROL_PLANE_NAMESPACE))
            for name in (names.DESTINATION_DEPLOYMENT, names.IDENTITY_DEPLOYMENT, names.INJECTOR_DEPLOYMENT)
        ),
        Watched(
            names.MULTICLUSTER_CONTROLLER,
            _controller(west, names.MULTICLUSTER_CONTROLLER, names.MULTICLUSTER_NAMESPACE),
        ),
    )


def cpu_shares(kinds: Iterable[Watched], seconds: float) -> list[float]:
    """Percent of a core that each kind uses while nothing is asked of it."""
    kinds = tuple(kinds)
    before, began = [cpu(kind.processes) for kind in kinds], time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return [(cpu(kind.processes) - start) / passed * 100 for kind, start in zip(kinds, before, strict=True)]


def _controller(cluster: Cluster, deployment: str, namespace: str) -> tuple[Process, ...]:
    pods = cluster.get("pods", "-n", namespace)["items"]
    (pod,) = (each for each in pods if each["metadata"]["name"].startswith(f"{deployment}-"))
    container = pod["spec"]["containers"][0]["name"]
    return look(cluster, pod["metadata"]["name"], container, namespace).controller
