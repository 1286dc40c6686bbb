"""The four ways from a client to the same application, and which processes are on each."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import yaml

from bench import baseline
from bench.cluster import NAMESPACE, BenchError, Cluster, address, external_address
from bench.processes import Pod, Process, look
from isthmus import names
from isthmus.mesh.model import Address, Identity, ProxyConfig

DIRECT: Final = "sidecar to sidecar"
TUNNEL: Final = "tunnel gateway"
TERMINATING: Final = "L7 gateway"
PLAIN: Final = "no mesh"
_READY_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Path:
    """A way to the application: where the load starts, what it asks, and who works on it."""

    name: str
    url: str
    within: Process
    roles: Mapping[str, tuple[Process, ...]]


@contextmanager
def opened(east: Cluster, west: Cluster) -> Iterator[tuple[Path, ...]]:
    """All four paths, answering. The baseline's Envoys run as long as the context is open."""
    started = [_start_gateway(east), _start_client(east, west)]
    try:
        paths = _wait(lambda: _paths(east, west))
        for path in paths:
            _wait(lambda path=path: ask(path))
        yield paths
    finally:
        for process in started:
            process.terminate()
            process.wait(10)


def ask(path: Path) -> None:
    """One request; raises BenchError unless it is answered with 200."""
    words = ["nsenter", f"--target={path.within.pid}", "--net", "curl", "-sSf", "-o", "/dev/null", "-m", "5", path.url]
    done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        raise BenchError(f"{path.name}: {path.url} does not answer: {done.stderr.strip()}")


def _paths(east: Cluster, west: Cluster) -> tuple[Path, ...]:
    servers = [look(east, pod, "server") for pod in east.pods("app=server")]
    meshed_servers = {"server": _all(servers, "envoy"), "application": _all(servers, "application")}
    plain_servers = [look(east, pod, "server") for pod in east.pods("app=plain-server")]
    plain_client = _look(east, "plain-client", "client")
    near, far, l7_client = client_of(east), client_of(west), _look(west, "l7-client")
    l7_gateway = _look(east, "l7-gateway")
    gateway = gateway_of(east)
    return (
        Path(
            PLAIN,
            f"http://{address(east, 'plain-server')}:8080",
            plain_client.processes[0],
            {"application": _all(plain_servers, "application")},
        ),
        Path(
            DIRECT,
            f"http://{address(east, 'server')}:8080",
            near.proxy[0],
            {"client": near.envoy, **meshed_servers},
        ),
        Path(
            TUNNEL,
            f"http://{address(west, 'server-cluster-east')}:8080",
            far.proxy[0],
            {"client": far.envoy, "gateway": gateway.envoy, **meshed_servers},
        ),
        Path(
            TERMINATING,
            f"http://{external_address(east, 'l7-gateway')}:{baseline.GATEWAY_PORT}",
            l7_client.proxy[0],
            {"client": l7_client.baseline, "gateway": l7_gateway.baseline, **meshed_servers},
        ),
    )


def client_of(cluster: Cluster) -> Pod:
    """The meshed pod that load comes from."""
    return _look(cluster, "client")


def gateway_of(cluster: Cluster) -> Pod:
    """The deployed gateway."""
    pod = _one(cluster, f"app={names.GATEWAY}", names.MULTICLUSTER_NAMESPACE)
    return look(cluster, pod, names.PROXY_CONTAINER, names.MULTICLUSTER_NAMESPACE)


def _start_gateway(east: Cluster) -> subprocess.Popen[bytes]:
    servers = east.get("pods", "-n", NAMESPACE, "-l", "app=server")["items"]
    addresses = tuple(Address(pod["status"]["podIP"], 8080) for pod in servers)
    configuration = baseline.gateway(addresses, Identity(_trust_domain(east), NAMESPACE, "server"))
    return baseline.start(east, _one(east, "app=l7-gateway"), configuration)


def _start_client(east: Cluster, west: Cluster) -> subprocess.Popen[bytes]:
    pod = _one(west, "app=l7-client")
    gateway = Address(external_address(east, "l7-gateway"), baseline.GATEWAY_PORT)
    identity = Identity(_trust_domain(east), NAMESPACE, "l7-gateway")
    started = baseline.start(west, pod, baseline.client(gateway, identity, _sidecar(west)))
    process = look(west, pod, names.PROXY_CONTAINER).proxy[0]
    words = ["nsenter", f"--target={process.pid}", "--net", "nft", "-f", "-"]
    subprocess.run(words, input=baseline.redirection(), text=True, check=True, timeout=10)
    return started


def _sidecar(cluster: Cluster) -> ProxyConfig:
    """What the control plane makes a sidecar's listeners from."""
    config = cluster.get("configmap", "-n", names.CONTROL_PLANE_NAMESPACE, names.CONFIG_MAP)
    values = yaml.safe_load(config["data"]["values"])
    opaque = tuple(names.DEFAULT_OPAQUE_PORTS)
    return ProxyConfig("sidecar", tuple(values["clusterNetworks"].split(",")), opaque, opaque)


def _trust_domain(cluster: Cluster) -> str:
    roots = cluster.get("configmap", "-n", names.CONTROL_PLANE_NAMESPACE, names.TRUST_ROOTS_CONFIG_MAP)
    return str(roots["data"][names.TRUST_DOMAIN_KEY])


def _look(cluster: Cluster, app: str, container: str = names.PROXY_CONTAINER) -> Pod:
    return look(cluster, _one(cluster, f"app={app}"), container)


def _one(cluster: Cluster, label: str, namespace: str = NAMESPACE) -> str:
    found = cluster.pods(label, namespace)
    if len(found) != 1:
        raise BenchError(f"{cluster.context} should have one pod with {label} in {namespace}: it has {found}")
    return found[0]


def _all(pods: list[Pod], role: str) -> tuple[Process, ...]:
    return tuple(process for pod in pods for process in getattr(pod, role))


def _wait(attempt: Any) -> Any:
    """The baseline's Envoys take a moment to be there."""
    end = time.monotonic() + _READY_SECONDS
    while True:
        try:
            return attempt()
        except BenchError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
