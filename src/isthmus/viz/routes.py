"""A workload's traffic in detail: what it is asked at which port, what it asks, and who answers. Pure."""

from collections.abc import Iterable
from typing import Final

from isthmus.viz.api import RouteRow, RoutesAnswer, RoutesQuestion
from isthmus.viz.kinds import WORKLOADS, UnknownResourceError
from isthmus.viz.stat import INBOUND, OUTBOUND, PEER, Labels, View, traffic
from isthmus.viz.tally import Tally
from isthmus.viz.workloads import Target

DEFAULT: Final = "[default]"
"""The server and the route of what no policy names."""
Place = tuple[str, str, str, str]
"""Server, service, backend, and the service's namespace."""


def answer(view: View, question: RoutesQuestion) -> RoutesAnswer:
    """One row for each port, or for each service and what answered for it."""
    for resource in question.resources:
        if resource.kind not in WORKLOADS:
            raise UnknownResourceError(f"{resource} has no proxy of its own: ask for a workload, like deploy/web.")
    window = view.window(question.window)
    direction = INBOUND if question.inbound else OUTBOUND
    place = _server if question.inbound else _backend
    tallies: dict[tuple[str, str, str, Place], Tally] = {}
    for source, labels, counts in traffic(view, window):
        if labels["direction"] != direction or (where := place(labels)) is None:
            continue
        for kind, name in set(_names(question, source)):
            namespace = "" if kind == "namespace" else source.namespace
            tally = tallies.setdefault((namespace, kind, name, where), Tally())
            tally.add(labels, counts, peer=PEER[direction])
    rows = tuple(
        RouteRow(
            namespace=namespace,
            kind=kind,
            name=name,
            server=where[0],
            service=where[1],
            backend=where[2],
            service_namespace=where[3],
            route=DEFAULT,
            numbers=tally.numbers(window),
        )
        for (namespace, kind, name, where), tally in sorted(tallies.items(), key=lambda item: item[0])
    )
    return RoutesAnswer(rows=tuple(row for row in rows if row.numbers.rps), window=window, problems=view.problems)


def _names(question: RoutesQuestion, source: Target) -> Iterable[tuple[str, str]]:
    for resource in question.resources:
        here = question.all_namespaces or resource.kind == "namespace" or source.namespace == question.namespace
        name = source.workloads.get(resource.kind)
        if here and name and resource.name in ("", name):
            yield resource.kind, name


def _server(labels: Labels) -> Place | None:
    port = labels.get("target_port")
    return (f"{DEFAULT}:{port}", "", "", "") if port else None


def _backend(labels: Labels) -> Place | None:
    authority = labels.get("authority")
    if not authority:
        return None
    called, _, port = authority.partition(":")
    name, _, rest = called.partition(".")
    service = name + (f":{port}" if port else "")
    answered = labels.get("dst_service") or name
    cluster = labels.get("dst_cluster")
    return "", service, f"{answered} ({cluster})" if cluster else answered, rest.partition(".")[0]
