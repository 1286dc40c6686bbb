"""More about one workload than the picture holds: its last minutes, its proxies, how they are configured. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from isthmus import names
from isthmus.resources.core import Service
from isthmus.viz.opaque import NOTHING
from isthmus.viz.proxied import ProxiedPod, settings
from isthmus.viz.series import CERTIFICATE_EXPIRY, CERTIFICATES, GAUGES, Group, History
from isthmus.viz.stat import INBOUND, OUTBOUND, PEER, View, traffic
from isthmus.viz.tally import Tally
from isthmus.viz.web_cluster import place
from isthmus.viz.web_picture import WINDOW, Detail, DetailQuestion, Point, Port, ProxyPicture
from isthmus.viz.workloads import Target

STEP: Final = 10.0
POINTS: Final = 60
MOST_PODS: Final = 100


def detail(
    view: View,
    asked: DetailQuestion,
    *,
    pods: Sequence[tuple[ProxiedPod, Target]],
    problems: Mapping[str, str],
    domain: str,
    services: Iterable[Service] = (),
    namespace: Mapping[str, str] = NOTHING,
) -> Detail:
    """`problems`: a pod's uid -> why its proxy cannot be read. `namespace`: the annotations of the workload's.

    Raises ValueError, in words, without such a workload.
    """
    wanted = (asked.namespace, asked.kind, asked.name)
    own = [(pod, target) for pod, target in pods if place(target) == wanted]
    histories = {target.uid: history for target, history in view.histories if place(target) == wanted}
    if not own and not histories:
        raise ValueError(f"There is no {asked.kind} {asked.name} in namespace {asked.namespace} any more.")
    account = own[0][1].account if own else ""
    near = [each for each in services if each.metadata.namespace == asked.namespace]
    return Detail(
        now=view.now,
        identity=names.identity_name(domain, asked.namespace, account) if domain and account else "",
        proxies=tuple(
            _proxy(
                target,
                pod,
                histories.get(target.uid),
                problem=problems.get(target.uid, ""),
                words=settings(pod, near, namespace) if target.meshed else (),
            )
            for pod, target in own[:MOST_PODS]
        ),
        ports=tuple(_ports(view, set(histories))),
        step=STEP,
        points=tuple(points(view, list(histories.values()))) if asked.points else (),
    )


def _proxy(
    target: Target, pod: ProxiedPod, history: History | None, *, problem: str, words: Iterable[str]
) -> ProxyPicture:
    return ProxyPicture(
        pod=target.name,
        status=target.status,
        ready=pod.ready,
        meshed=target.meshed,
        version=pod.metadata.annotations.get(names.PROXY_VERSION_ANNOTATION, ""),
        certificate_expires=_gauge(history, CERTIFICATE_EXPIRY),
        certificates=None if (count := _gauge(history, CERTIFICATES)) is None else round(count),
        settings=tuple(words),
        problem=problem,
    )


def _gauge(history: History | None, metric: str) -> float | None:
    for group in history.groups.values() if history else ():
        if series := group.series.get((metric, "")):
            return series.total or None
    return None


def _ports(view: View, uids: set[str]) -> Iterator[Port]:
    window = view.window(WINDOW)
    tallies: dict[str, Tally] = {}
    for source, labels, counts in traffic(view, window):
        port = labels.get("target_port")
        if port and source.uid in uids and labels["direction"] == INBOUND:
            tallies.setdefault(port, Tally()).add(labels, counts, peer=PEER[INBOUND])
    for port, tally in sorted(tallies.items()):
        yield Port(port=port, numbers=tally.numbers(window))


def points(view: View, histories: Sequence[History]) -> Iterator[Point]:
    """The last ten minutes, oldest first, as far as they are known: what was asked, or else what it asked."""
    asked = any(
        group.labels.get("direction") == INBOUND
        and "classification" in group.labels
        and group.labels.get("tls") == "true"
        for history in histories
        for group in history.groups.values()
    )
    direction = INBOUND if asked else OUTBOUND
    known = [view.now - STEP * index for index in range(POINTS, -1, -1) if view.now - STEP * index >= view.began]
    tallies = [Tally() for _ in known[1:]]
    for history in histories:
        since = [history.since(at) for at in known]
        for group in history.groups.values():
            if group.labels.get("direction") != direction:
                continue
            totals = [[count(series) for count in since] for series in group.series.values()]
            _spread(group, totals, tallies)
    for end, tally in zip(known[1:], tallies, strict=True):
        yield Point(ago=view.now - end, numbers=tally.numbers(STEP))


def _spread(group: Group, totals: Sequence[Sequence[float]], tallies: Sequence[Tally]) -> None:
    """What was counted between each two moments."""
    keys = [key for key in group.series if key[0] not in GAUGES]
    rows = {key: list(pairwise(row)) for key, row in zip(group.series, totals, strict=True) if key in keys}
    for index, tally in enumerate(tallies):
        counts = {key: max(row[index][0] - row[index][1], 0.0) for key, row in rows.items()}
        if any(counts.values()):
            tally.add(group.labels, counts, peer=PEER[group.labels["direction"]])
