"""A cluster with known traffic, as plain values: what its proxies show, twice, a minute apart."""

from collections.abc import Mapping

from isthmus.kube.meta import Meta
from isthmus.resources.splits import Backend, TrafficSplit, TrafficSplitSpec
from isthmus.viz.series import History
from isthmus.viz.stat import View
from isthmus.viz.workloads import Target

START, END = 1000.0, 1060.0
DOMAIN = "west.example"
OTHER_DOMAIN = "east.example"


def identity(account: str, namespace: str, domain: str = DOMAIN) -> str:
    return f"{account}.{namespace}.serviceaccount.identity.linkerd.{domain}"


def pod(name: str, deployment: str, *, namespace: str = "default", meshed: bool = True) -> Target:
    return Target(
        namespace=namespace,
        name=name,
        uid=f"{namespace}/{name}",
        ip="10.0.0.1",
        created="",
        workloads={"pod": name, "namespace": namespace, "deployment": deployment, "replicaset": f"{deployment}-1"},
        account=deployment,
        meshed=meshed,
        running=True,
        status="Running",
    )


def line(metric: str, value: float, **labels: str) -> str:
    text = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{metric}{{{text}}} {value}\n"


def requests(count: float, *, failures: float = 0, milliseconds: int = 10, **labels: str) -> str:
    """What a proxy shows after so many requests, failures among them, all of the same latency."""
    bounds = (5, 10, 20)
    buckets = [line("response_latency_ms_bucket", count * (milliseconds <= b), le=str(b), **labels) for b in bounds]
    return "".join(
        [
            line("response_total", count - failures, classification="success", status_code="200", **labels),
            line("response_total", failures, classification="failure", status_code="500", **labels),
            *buckets,
            line("response_latency_ms_bucket", count, le="+Inf", **labels),
        ]
    )


OUT = {"direction": "outbound", "tls": "true"}
TO_BACKEND = OUT | {
    "authority": "backend.default.svc.cluster.local:8080",
    "dst_namespace": "default",
    "dst_service": "backend",
    "dst_deployment": "backend",
    "server_id": identity("backend", "default"),
}
STANDBY = OUT | {
    "authority": "backend.default.svc.cluster.local:8080",
    "dst_namespace": "default",
    "dst_service": "backend-east",
    "dst_deployment": "backend",
    "dst_cluster": "east",
    "dst_target_service": "backend",
    "dst_target_service_namespace": "default",
    "server_id": identity("backend", "default", OTHER_DOMAIN),
}
MIRROR = STANDBY | {"authority": "backend-east.default.svc.cluster.local:8080"}
ASKED = {"direction": "inbound", "tls": "true", "client_id": identity("frontend", "default"), "target_port": "8080"}
FROM_EAST = ASKED | {"client_id": identity("shop", "market", OTHER_DOMAIN), "src_cluster": "east"}
PLAIN = {"direction": "inbound", "tls": "no_identity", "no_tls_reason": "no_tls_from_remote"}

SHOWN: Mapping[tuple[str, str], str] = {
    ("frontend-1", "frontend"): requests(60, failures=15, **TO_BACKEND) + requests(30, milliseconds=20, **MIRROR),
    ("frontend-2", "frontend"): requests(60, failures=15, **TO_BACKEND) + requests(6, **STANDBY),
    ("backend-1", "backend"): requests(120, failures=30, **ASKED)
    + requests(12, **FROM_EAST)
    + line("tcp_open_connections", 4, direction="inbound", tls="true", peer="src")
    + line("tcp_open_connections", 9, direction="inbound", tls="true", peer="dst")
    + line("tcp_read_bytes_total", 6000, direction="inbound", tls="true", peer="src"),
    ("quiet-1", "quiet"): "",
}


def cluster(shown: Mapping[tuple[str, str], str] = SHOWN, *, began: float = START, now: float = END) -> View:
    """The view a minute after the pods began, with a look at the beginning and one at the end."""
    histories = []
    for (name, deployment), text in shown.items():
        history = History(began=START)
        history.observe(START + 0.5, b"")
        history.observe(END, text.encode())
        histories.append((pod(name, deployment), history))
    plain = pod("legacy-1", "legacy", meshed=False)
    pods = [*(target for target, _ in histories), plain]
    split = TrafficSplit(
        metadata=Meta(name="backend-split", namespace="default"),
        spec=TrafficSplitSpec(
            service="backend", backends=(Backend(service="backend", weight=100), Backend(service="backend-east"))
        ),
    )
    return View(
        now=now,
        began=began,
        pods=pods,
        histories=histories,
        splits=[split],
        by_name={(target.namespace, target.name): target for target in pods},
        trust_domain=DOMAIN,
    )
