"""One cluster's picture: workloads, who calls whom, services, links. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from isthmus import names
from isthmus.resources.core import Pod, Service
from isthmus.resources.exports import exported, federated_member, federation, mirrored, remotely_discovered
from isthmus.resources.splits import TrafficSplit
from isthmus.viz.api import Party
from isthmus.viz.edges import ACCOUNT, DOMAIN_MARK
from isthmus.viz.kinds import known
from isthmus.viz.stat import INBOUND, OUTBOUND, PEER, Labels, View, traffic
from isthmus.viz.tally import Tally
from isthmus.viz.web_links import LinkObject, roots_expire
from isthmus.viz.web_links import picture as link_picture
from isthmus.viz.web_picture import (
    WINDOW,
    Call,
    Picture,
    ServicePicture,
    SplitPicture,
    Tunnels,
    Workload,
)
from isthmus.viz.workloads import MOST_TELLING, Target

Place = tuple[str, str, str]
"""Namespace, kind, name of a workload."""
MOST_WORKLOADS: Final = 1000
MOST_CALLS: Final = 4000
MOST_SERVICES: Final = 2000
OUTSIDE: Final = "outside"
"""The kind of what is no pod of a linked cluster and no service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """What is read beside the numbers. `name` is what the installation was told that its cluster is called."""

    pods: Sequence[tuple[Pod, Target]] = ()
    services: Iterable[Service] = ()
    links: Iterable[LinkObject] = ()
    trust_domain: str = ""
    roots: str = ""
    name: str = ""


@dataclass(slots=True)
class _Counted:
    """What one pass over all series adds up to."""

    workloads: dict[Place, Tally] = field(default_factory=dict)
    calls: dict[Call, Tally] = field(default_factory=dict)
    servers: dict[Call, str] = field(default_factory=dict)
    """Who answered, which not every series of a call says."""


def paint(view: View, objects: Objects, *, version: str, at: float) -> Picture:
    """Sorted, so that equal clusters have equal pictures; cut where there is more than a page can show, and said so."""
    window = view.window(WINDOW)
    counted = _count(view, window, objects.trust_domain)
    workloads = sorted(_workloads(objects.pods, counted, window), key=lambda each: (each.namespace, each.name))
    calls = sorted(_calls(counted, window), key=_order)
    services = sorted((_service(each) for each in objects.services), key=lambda each: (each.namespace, each.name))
    return Picture(
        version=version,
        now=view.now,
        at=at,
        window=window,
        name=objects.name,
        trust_domain=objects.trust_domain,
        roots_expire=roots_expire(objects.roots),
        workloads=tuple(workloads[:MOST_WORKLOADS]),
        calls=tuple(calls[:MOST_CALLS]),
        services=tuple(services[:MOST_SERVICES]),
        splits=tuple(sorted((_split(each) for each in view.splits), key=lambda each: (each.namespace, each.name))),
        links=tuple(sorted((link_picture(each) for each in objects.links), key=lambda each: each.cluster)),
        tunnels=tuple(_tunnels(view, window)),
        problems=(
            *view.problems,
            *_cut("workloads", workloads, MOST_WORKLOADS),
            *_cut("calls", calls, MOST_CALLS),
            *_cut("services", services, MOST_SERVICES),
        ),
    )


def _cut(what: str, found: Sequence[object], most: int) -> Iterator[str]:
    if len(found) > most:
        yield f"The page shows {most} of {len(found)} {what}."


# --- numbers ------------------------------------------------------------------------------------------------------
def _count(view: View, window: float, domain: str) -> _Counted:
    found = _Counted()
    for source, labels, counts in traffic(view, window):
        peer = PEER[labels["direction"]]
        if labels["direction"] == INBOUND:
            found.workloads.setdefault(place(source), Tally()).add(labels, counts, peer=peer)
        if call := _call(view, source, labels, domain):
            found.calls.setdefault(call, Tally()).add(labels, counts, peer=peer)
            if server := labels.get("server_id"):
                found.servers[call] = server
    return found


def place(target: Target) -> Place:
    kind, name = target.workload
    return target.namespace, kind, name


def _party(where: Place) -> Party:
    return Party(namespace=where[0], kind=where[1], name=where[2])


def _call(view: View, here: Target, labels: Labels, domain: str) -> Call | None:
    """What makes a call one of its own; inbound only from other clusters, for those here are told by their clients."""
    plain = "" if labels.get("tls") == "true" else labels.get("no_tls_reason") or "plain text"
    identity = names.identity_name(domain, here.namespace, here.account) if domain and not plain else ""
    if labels["direction"] == OUTBOUND:
        target = _target(view, labels)
        if target is None:
            return None
        return Call(
            source=_party(place(here)),
            target=target,
            service=_called(labels.get("authority", "")),
            answered="/".join(filter(None, (labels.get("dst_namespace"), labels.get("dst_service")))),
            client_id=identity,
            plain=plain,
        )
    cluster = labels.get("src_cluster")
    if not cluster:
        return None
    client = labels.get("client_id", "")
    account, _, namespace = client.partition(DOMAIN_MARK)[0].partition(".")
    return Call(
        source=Party(kind=ACCOUNT, name=account or "unknown", namespace=namespace, cluster=cluster),
        target=_party(place(here)),
        client_id=client,
        server_id=identity,
        plain=plain,
    )


def _called(authority: str) -> str:
    host, _, port = authority.partition(":")
    parts = host.split(".")
    service = f"{parts[1]}/{parts[0]}" if len(parts) > 3 and parts[2] == "svc" else host
    return f"{service}:{port}" if port else service


def _target(view: View, labels: Labels) -> Party | None:
    cluster = labels.get("dst_cluster", "")
    namespace = labels.get("dst_namespace", "")
    if cluster:
        namespace = labels.get("dst_target_service_namespace") or namespace
    for kind in MOST_TELLING:
        if name := labels.get(known(kind).target_label):
            return Party(kind=kind, name=name, namespace=namespace, cluster=cluster)
    pod = view.by_name.get((namespace, labels.get("dst_pod", "")))
    if pod and not cluster:
        return _party(place(pod))
    if service := labels.get("dst_target_service") or labels.get("dst_service"):
        return Party(kind="service", name=service, namespace=namespace, cluster=cluster)
    return Party(kind=OUTSIDE, name="outside the mesh", namespace="") if not cluster else None


def _calls(counted: _Counted, window: float) -> Iterator[Call]:
    for call, tally in counted.calls.items():
        numbers = tally.numbers(window)
        if numbers.rps or numbers.tcp_open_connections or numbers.tcp_read_bytes_rate:
            yield replace(call, numbers=numbers, server_id=call.server_id or counted.servers.get(call, ""))


def _order(call: Call) -> tuple[str, ...]:
    ends = (call.source, call.target)
    return (*(text for end in ends for text in (end.cluster, end.namespace, end.name, end.kind)), call.service)


# --- objects ------------------------------------------------------------------------------------------------------
def _workloads(pods: Sequence[tuple[Pod, Target]], counted: _Counted, window: float) -> Iterator[Workload]:
    grouped: dict[Place, list[tuple[Pod, Target]]] = {}
    for pod, target in pods:
        if target.running:
            grouped.setdefault(place(target), []).append((pod, target))
    for where in grouped.keys() | counted.workloads.keys():
        members = grouped.get(where, [])
        yield Workload(
            namespace=where[0],
            kind=where[1],
            name=where[2],
            pods=len(members),
            ready=sum(pod.ready for pod, _ in members),
            meshed=sum(target.meshed for _, target in members),
            account=members[0][1].account if members else "",
            gateway=any(is_gateway(pod) for pod, _ in members),
            numbers=counted.workloads.get(where, Tally()).numbers(window),
        )


def is_gateway(pod: Pod) -> bool:
    return pod.metadata.annotations.get(names.ENABLE_GATEWAY_ANNOTATION, "") in names.SWITCHED_ON


def _service(service: Service) -> ServicePicture:
    metadata = service.metadata
    copy = mirrored(service)
    union = federation(service)
    modes = (("flat", remotely_discovered), ("gateway", exported), ("federated", federated_member))
    return ServicePicture(
        namespace=metadata.namespace,
        name=metadata.name,
        ports=tuple(f"{port.name} {port.port}".strip() for port in service.ports),
        exported=next((mode for mode, says in modes if copy is None and union is None and says(service)), ""),
        cluster=copy.cluster if copy else "",
        mirrors=f"{copy.namespace}/{copy.name}" if copy and not copy.hostname else "",
        flat=copy.flat if copy else False,
        members=_members(union.local, union.remote) if union else (),
        version=metadata.resource_version,
        follows=metadata.annotations.get(names.REMOTE_RESOURCE_VERSION_ANNOTATION, ""),
    )


def _members(local: str, remote: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return (*((local,) if local else ()), *(f"{name}@{cluster}" for name, cluster in remote))


def _split(split: TrafficSplit) -> SplitPicture:
    return SplitPicture(
        namespace=split.metadata.namespace,
        name=split.metadata.name,
        service=split.spec.service,
        backends=tuple((each.service, str(each.weight)) for each in split.backends),
    )


def _tunnels(view: View, window: float) -> Iterator[Tunnels]:
    found: dict[tuple[str, str, str], list[float]] = {}
    for pod, history in view.histories:
        since = history.since(view.now - window)
        for group in history.groups.values():
            held = group.series.get(("gateway_tunnels", ""))
            refused = group.series.get(("gateway_tunnel_refused_total", ""))
            if held is None and refused is None:
                continue
            key = (pod.namespace, pod.workload[1], _cluster(group.labels))
            tally = found.setdefault(key, [0.0, 0.0])
            tally[0] += held.total if held else 0.0
            tally[1] += since(refused) if refused else 0.0
    for (namespace, gateway, cluster), (held_open, turned_away) in sorted(found.items()):
        yield Tunnels(
            namespace=namespace, gateway=gateway, cluster=cluster, open=round(held_open), refused=round(turned_away)
        )


def _cluster(labels: Mapping[str, str]) -> str:
    return labels.get("src_cluster", "")
