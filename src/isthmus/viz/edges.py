"""Who talks to whom, within the cluster and across clusters. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from isthmus import names
from isthmus.viz.api import Edge, EdgesAnswer, EdgesQuestion, Numbers, Party
from isthmus.viz.kinds import WORKLOADS, UnknownResourceError, known
from isthmus.viz.stat import INBOUND, OUTBOUND, PEER, Labels, View, destinations, traffic
from isthmus.viz.tally import Tally
from isthmus.viz.workloads import Target

DOMAIN_MARK: Final = f".serviceaccount.identity.{names.CONTROL_PLANE_NAMESPACE}."
"""Before it `<account>.<namespace>`, after it the trust domain."""
UNKNOWN_REASON: Final = "plain text"
ACCOUNT: Final = "serviceaccount"
"""The kind of a client in another cluster: all that is known of it is who it proved to be."""


@dataclass(frozen=True, slots=True)
class _Line:
    """What makes an edge one of its own."""

    source: Party
    target: Party
    client_id: str
    server_id: str
    no_tls_reason: str


def answer(view: View, question: EdgesQuestion) -> EdgesAnswer:
    """Edges whose one end is of the kind and in the namespace; raises UnknownResourceError, in words."""
    kind = known(question.kind).name
    if kind not in WORKLOADS:
        raise UnknownResourceError(f"{known(kind).short} is no end of a connection: ask for a kind of workload.")
    window = view.window(question.window)
    found = tuple(
        edge
        for edge in edges(view, kind, window)
        if question.all_namespaces
        or kind == "namespace"
        or question.namespace in (_namespace_here(edge.source), _namespace_here(edge.target))
    )
    return EdgesAnswer(edges=found, window=window, problems=view.problems)


def _namespace_here(party: Party) -> str:
    return "" if party.cluster else party.namespace


def edges(view: View, kind: str, window: float) -> Iterator[Edge]:
    """Every edge that carried something in the window or is open, sorted."""
    tallies: dict[_Line, Tally] = {}
    for source, labels, counts in traffic(view, window):
        for line in _lines(view, kind, source, labels):
            tally = tallies.setdefault(line, Tally())
            tally.add(labels, counts, peer=PEER[labels["direction"]])
    for line in sorted(tallies, key=_order):
        numbers = tallies[line].numbers(window)
        if _alive(numbers):
            yield Edge(
                source=line.source,
                target=line.target,
                numbers=numbers,
                client_id=line.client_id,
                server_id=line.server_id,
                no_tls_reason=line.no_tls_reason,
            )


def _alive(numbers: Numbers) -> bool:
    return bool(numbers.rps or numbers.tcp_open_connections or numbers.tcp_read_bytes_rate)


def _order(line: _Line) -> tuple[str, ...]:
    ends = (line.source, line.target)
    return (*(text for each in ends for text in (each.cluster, each.namespace, each.name)), line.server_id)


def _lines(view: View, kind: str, here: Target, labels: Labels) -> Iterator[_Line]:
    own = here.workloads.get(kind)
    if own is None:
        return
    party = Party(kind=kind, name=own, namespace="" if kind == "namespace" else here.namespace)
    reason = "" if labels.get("tls") == "true" else labels.get("no_tls_reason") or UNKNOWN_REASON
    if labels["direction"] == OUTBOUND:
        client = "" if reason else _identity(view, here)
        server = "" if reason else _server(view, labels)
        for target in _targets(view, kind, here, labels):
            yield _Line(party, target, client, server, reason)
    elif labels["direction"] == INBOUND and labels.get("src_cluster"):
        client = labels.get("client_id", "")
        yield _Line(_client(labels, client), party, client, _identity(view, here), reason)


def _server(view: View, labels: Labels) -> str:
    """Of a pod here, its account's, as Kubernetes has it; of another cluster, what the client's proxy says."""
    pod = view.by_name.get((labels.get("dst_namespace", ""), labels.get("dst_pod", "")))
    here = "" if pod is None or labels.get("dst_cluster") else _identity(view, pod)
    return here or labels.get("server_id", "")


def _identity(view: View, pod: Target) -> str:
    """What a pod's certificate must say: no pod tells its own."""
    return names.identity_name(view.trust_domain, pod.namespace, pod.account) if view.trust_domain else ""


def _targets(view: View, kind: str, here: Target, labels: Labels) -> Iterator[Party]:
    cluster = labels.get("dst_cluster", "")
    if not cluster:
        for namespace, name in destinations(view, kind, here, labels):
            yield Party(kind=kind, name=name, namespace=namespace)
        return
    namespace = labels.get("dst_target_service_namespace") or labels.get("dst_namespace", "")
    if kind == "namespace":
        yield Party(kind=kind, name=namespace, namespace="", cluster=cluster)
    elif workload := labels.get(known(kind).target_label):
        yield Party(kind=kind, name=workload, namespace=namespace, cluster=cluster)
    elif kind != "pod" and (service := labels.get("dst_target_service") or labels.get("dst_service")):
        # A series that names no pod is told of the pods by another one.
        yield Party(kind="service", name=service, namespace=namespace, cluster=cluster)


def _client(labels: Mapping[str, str], client_id: str) -> Party:
    account, _, namespace = client_id.partition(DOMAIN_MARK)[0].partition(".")
    return Party(kind=ACCOUNT, name=account or "unknown", namespace=namespace, cluster=labels["src_cluster"])
