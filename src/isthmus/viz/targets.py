"""What Prometheus is to scrape, and under which labels: the answers of its HTTP service discovery. Pure.

So Prometheus needs no permission of its own, and one that was built without Kubernetes works, too.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from isthmus import names
from isthmus.resources.core import Pod
from isthmus.viz.workloads import Target

PROXIES: Final = "linkerd-proxy"
CONTROLLERS: Final = {
    "linkerd-controller": (names.CONTROL_PLANE_NAMESPACE, names.VIZ_NAMESPACE),
    "linkerd-multicluster-controller": (names.MULTICLUSTER_NAMESPACE,),
}
"""Job -> namespaces of control-plane processes."""
ADMIN_PORT_NAME: Final = "admin-http"
RENAMED: Final = {"job": "k8s_job"}
"""`job` is Prometheus' own label."""
UNSAID: Final = frozenset({"pod", "namespace"})
Group = dict[str, Any]


def of_job(job: str, pods: Iterable[tuple[Pod, Target]]) -> list[Group]:
    """Raises ValueError for a job that there is not."""
    if job == PROXIES:
        return list(_proxies(target for _, target in pods))
    if job in CONTROLLERS:
        return list(_controllers(pod for pod, target in pods if target.namespace in CONTROLLERS[job]))
    raise ValueError(f"there is no job {job}, only {', '.join((PROXIES, *CONTROLLERS))}")


def _proxies(targets: Iterable[Target]) -> Iterator[Group]:
    for target in targets:
        if target.meshed and target.running and target.ip:
            owners = {RENAMED.get(kind, kind): name for kind, name in target.workloads.items() if kind not in UNSAID}
            labels = {**_who(target.namespace, target.name), **owners}
            labels["control_plane_ns"] = names.CONTROL_PLANE_NAMESPACE
            yield _group(target.ip, names.ADMIN_PORT, labels)


def _controllers(pods: Iterable[Pod]) -> Iterator[Group]:
    for pod in pods:
        if pod.finished or not pod.status.pod_ip:
            continue
        for container in pod.spec.all_containers:
            for port in container.ports or ():
                if port.name == ADMIN_PORT_NAME:
                    labels = _who(pod.metadata.namespace, pod.metadata.name) | {"component": container.name}
                    yield _group(pod.status.pod_ip, port.container_port, labels)


def _who(namespace: str, pod: str) -> dict[str, str]:
    return {"namespace": namespace, "pod": pod}


def _group(ip: str, port: int, labels: Mapping[str, str]) -> Group:
    host = f"[{ip}]" if ":" in ip else ip
    return {"targets": [f"{host}:{port}"], "labels": dict(labels)}
