"""Clusters as the page's process sees them, as plain values: small ones that are linked, and three large ones."""

from isthmus import names
from isthmus.viz.api import Numbers, Party
from isthmus.viz.web_picture import (
    Call,
    ConditionPicture,
    LinkPicture,
    MirrorPicture,
    Picture,
    ServicePicture,
    SplitPicture,
    Tunnels,
    Workload,
)
from isthmus.viz.web_sources import Seen

NOW = 1_800_000_000.0
GOOD = Numbers(success=1.0, rps=12.5, latency_ms_p50=1.2, latency_ms_p95=4.0, latency_ms_p99=9.0)
BAD = Numbers(success=0.8, rps=2.0, latency_ms_p50=2.0, latency_ms_p95=8.0, latency_ms_p99=20.0)


def domain(cluster: str) -> str:
    return f"{cluster}.example"


def identity(account: str, cluster: str, namespace: str = "default") -> str:
    return names.identity_name(domain(cluster), namespace, account)


def workload(name: str, *, namespace: str = "default", numbers: Numbers = GOOD, **more: object) -> Workload:
    facts: dict[str, object] = {"pods": 2, "ready": 2, "meshed": 2, "account": name} | more
    return Workload(namespace=namespace, kind="deployment", name=name, numbers=numbers, **facts)  # type: ignore[arg-type]


def party(name: str, *, cluster: str = "", namespace: str = "default", kind: str = "deployment") -> Party:
    return Party(kind=kind, name=name, namespace=namespace, cluster=cluster)


def call(source: Party, target: Party, *, service: str = "default/backend:8080", **more: object) -> Call:
    facts: dict[str, object] = {"answered": service.partition(":")[0], "numbers": GOOD} | more
    return Call(source=source, target=target, service=service, **facts)  # type: ignore[arg-type]


def link(to: str, *, alive: bool = True, **more: object) -> LinkPicture:
    said = [
        ("Accepted", "True", "Accepted"),
        ("Reachable", "True", "Connected"),
        ("GatewayAlive", "True" if alive else "False", "Alive" if alive else "Down"),
    ]
    facts: dict[str, object] = {
        "gateway": "192.0.2.1:4143",
        "trust_domain": domain(to),
        "latency_ms": 3.0,
        "credentials_expire": "2027-02-01T00:00:00Z",
        "conditions": tuple(ConditionPicture(type=kind, status=now, reason=why) for kind, now, why in said),
        "mirrors": (MirrorPicture(remote="default/backend", local=f"default/backend-{to}", mirrored=True),),
        "credentials": ("linkerd-multicluster", f"cluster-credentials-{to}"),
    } | more
    return LinkPicture(name=f"linkerd-{to}", namespace="linkerd-multicluster", cluster=to, **facts)  # type: ignore[arg-type]


def picture(cluster: str, **more: object) -> Picture:
    facts: dict[str, object] = {"version": "1", "now": NOW, "at": NOW - 1, "window": 10.0} | more
    return Picture(trust_domain=domain(cluster), **facts)  # type: ignore[arg-type]


GATEWAY = Workload(
    namespace="linkerd-multicluster", kind="deployment", name="linkerd-gateway", pods=1, ready=1, meshed=1, gateway=True
)
MIRROR = ServicePicture(
    namespace="default", name="backend-east", cluster="east", mirrors="default/backend", version="7", follows="3"
)
WEST = picture(
    "west",
    workloads=(workload("frontend", numbers=Numbers()), workload("backend"), GATEWAY),
    calls=(
        call(party("frontend"), party("backend"), client_id=identity("frontend", "west")),
        call(
            party("frontend"),
            party("backend", cluster="east"),
            service="default/backend-east:8080",
            client_id=identity("frontend", "west"),
            server_id=identity("backend", "east"),
            numbers=BAD,
        ),
    ),
    services=(ServicePicture(namespace="default", name="backend", ports=("8080",), exported="gateway"), MIRROR),
    splits=(
        SplitPicture(
            namespace="default",
            name="backend-split",
            service="backend",
            backends=(("backend", "100"), ("backend-east", "0")),
        ),
    ),
    links=(link("east"),),
)
EAST = picture(
    "east",
    workloads=(workload("backend", numbers=BAD), GATEWAY),
    calls=(
        Call(
            source=party("frontend", cluster="west.example", kind="serviceaccount"),
            target=party("backend"),
            client_id=identity("frontend", "west"),
            numbers=BAD,
        ),
    ),
    services=(ServicePicture(namespace="default", name="backend", exported="gateway", version="3"),),
    tunnels=(
        Tunnels(namespace="linkerd-multicluster", gateway="linkerd-gateway", cluster="west.example", open=2, refused=0),
    ),
)


def seen(cluster: str, shown: Picture | None, *, state: str = "live", reason: str = "") -> Seen:
    at = NOW - 1 if shown else 0.0
    return Seen(name=cluster, state=state, reason=reason, picture=shown, read_at=at, heard_at=at)


LINKED = (seen("", WEST), seen("east", EAST))


def large(clusters: int = 3, workloads: int = 67) -> tuple[Seen, ...]:
    """Each workload calls the next, and every tenth one its neighbour cluster."""
    called = [f"c{index}" for index in range(clusters)]
    found = []
    for index, cluster in enumerate(called):
        other = called[(index + 1) % clusters]
        own = tuple(workload(f"app-{number:02}", namespace=f"team-{number % 6}") for number in range(workloads))
        calls = []
        for number in range(workloads - 1):
            here = party(f"app-{number:02}", namespace=f"team-{number % 6}")
            near = party(f"app-{number + 1:02}", namespace=f"team-{(number + 1) % 6}")
            calls.append(call(here, near, service=f"{near.namespace}/{near.name}:80"))
            if number % 10 == 0:
                far = party(near.name, namespace=near.namespace, cluster=other)
                calls.append(call(here, far, service=f"{near.namespace}/{near.name}-{other}:80"))
        links = tuple(link(each) for each in called if each != cluster)
        shown = picture(cluster, name=cluster, workloads=(*own, GATEWAY), calls=tuple(calls), links=links)
        found.append(seen("" if index == 0 else cluster, shown))
    return tuple(found)
