"""Questions about traffic to rows of numbers. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from isthmus.kube.meta import Key
from isthmus.resources.splits import TrafficSplit
from isthmus.viz.api import StatAnswer, StatQuestion, StatRow
from isthmus.viz.kinds import WORKLOADS, Resource, UnknownResourceError, known
from isthmus.viz.series import History, counted
from isthmus.viz.tally import Tally
from isthmus.viz.workloads import Target

INBOUND: Final = "inbound"
OUTBOUND: Final = "outbound"
PEER: Final = {INBOUND: "src", OUTBOUND: "dst"}
"""On which side of a proxy its own pod is not."""
Labels = Mapping[str, str]
Counts = Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that is known at one time.

    `pods` exist, `histories` also of pods that are gone. `began`: since when numbers are kept at all.
    """

    now: float
    began: float
    pods: Sequence[Target]
    histories: Sequence[tuple[Target, History]]
    splits: Sequence[TrafficSplit] = ()
    problems: tuple[str, ...] = ()
    by_name: Mapping[Key, Target] = field(default_factory=dict)
    """Pods, also such that are gone, by namespace and name."""
    trust_domain: str = ""
    """Of this cluster, as its control plane says; "" while that is not known."""

    def window(self, asked: float) -> float:
        return max(min(asked, self.now - self.began), 0.0)


def answer(view: View, question: StatQuestion) -> StatAnswer:
    """The rows, kind by kind; raises UnknownResourceError, in words, when the question makes no sense."""
    require_sense(question)
    window = view.window(question.window)
    rows = [
        row
        for kind in dict.fromkeys(resource.kind for resource in question.resources)
        for row in _of_kind(view, question, kind, window)
    ]
    return StatAnswer(rows=tuple(rows), window=window, problems=view.problems)


def require_sense(question: StatQuestion) -> None:
    """Raises UnknownResourceError for what can have no answer."""
    for resource in (*question.resources, *filter(None, (question.to, question.from_))):
        known(resource.kind)
    if question.to and question.from_:
        raise UnknownResourceError("--to and --from do not go together: ask for the client with --to.")
    if question.from_ and question.from_.kind not in WORKLOADS:
        raise UnknownResourceError(
            f"--from {question.from_}: numbers come from the proxies of pods, and this is no workload. "
            "Name a deployment, a pod, a namespace."
        )
    if question.to and question.to.kind == "trafficsplit":
        raise UnknownResourceError(f"--to {question.to}: name the service that is split instead.")
    for resource in question.resources:
        if question.to and resource.kind not in WORKLOADS:
            raise UnknownResourceError(f"{resource} sends nothing itself: with --to, ask for a workload.")
        if question.from_ and resource.kind == "trafficsplit":
            raise UnknownResourceError(f"{resource} cannot be asked with --from.")


def _of_kind(view: View, question: StatQuestion, kind: str, window: float) -> Iterator[StatRow]:
    if kind == "trafficsplit":
        yield from _splits(view, question, window)
        return
    tallies = _tallies(view, question, kind, window)
    pods: dict[Key, list[Target]] = {}
    if kind in WORKLOADS:
        for pod in view.pods:
            if (key := _key(kind, pod)) is not None:
                pods.setdefault(key, []).append(pod)
    narrowed = question.to is not None or question.from_ is not None
    keys = tallies.keys() if narrowed else tallies.keys() | pods.keys()
    wanted = _wanted(question, kind)
    for key in sorted(keys):
        if not wanted(key):
            continue
        own = pods.get(key, [])
        running = [pod for pod in own if pod.running]
        meshed = sum(pod.meshed for pod in running)
        tally = tallies.get(key)
        named = any(resource == Resource(kind, key[1]) for resource in question.resources)
        if kind in WORKLOADS and not meshed and tally is None and not (question.unmeshed or named):
            continue
        yield StatRow(
            namespace=key[0],
            kind=kind,
            name=key[1],
            numbers=(tally or Tally()).numbers(window),
            status=own[0].status if kind == "pod" and own else "",
            meshed=meshed if kind in WORKLOADS else None,
            running=len(running) if kind in WORKLOADS else None,
        )


def _wanted(question: StatQuestion, kind: str) -> Callable[[Key], bool]:
    named = {resource.name for resource in question.resources if resource.kind == kind}

    def wanted(key: Key) -> bool:
        here = kind == "namespace" or question.all_namespaces or key[0] == question.namespace
        return here and ("" in named or key[1] in named)

    return wanted


def _key(kind: str, pod: Target) -> Key | None:
    name = pod.workloads.get(kind)
    if name is None:
        return None
    return ("" if kind == "namespace" else pod.namespace), name


def _tallies(view: View, question: StatQuestion, kind: str, window: float) -> dict[Key, Tally]:
    found: dict[Key, Tally] = {}
    for source, labels, counts in traffic(view, window):
        for key in set(_keys(view, question, kind, source, labels)):
            tally = found.setdefault(key, Tally())
            tally.add(labels, counts, peer=PEER[labels["direction"]])
    return found


def traffic(view: View, window: float) -> Iterator[tuple[Target, Labels, Counts]]:
    """Every group of series of every pod, with what was counted in the window that ends now."""
    for source, history in view.histories:
        for group, counts in counted(history, view.now - window):
            if group.labels.get("direction") in PEER:
                yield source, group.labels, counts


def _keys(view: View, question: StatQuestion, kind: str, source: Target, labels: Labels) -> Iterable[Key]:
    """Under which rows of a kind a group counts: none, one, or the two names of a service that answers for another."""
    direction = labels["direction"]
    if question.to:
        if direction == OUTBOUND and _leads_to(view, question, source, labels):
            return _own(kind, source)
        return ()
    if question.from_:
        if direction == OUTBOUND and _comes_from(question, source):
            return destinations(view, kind, source, labels)
        return ()
    if kind in WORKLOADS:
        return _own(kind, source) if direction == INBOUND else ()
    return destinations(view, kind, source, labels) if direction == OUTBOUND else ()


def _own(kind: str, source: Target) -> Iterable[Key]:
    key = _key(kind, source)
    return () if key is None else (key,)


def _leads_to(view: View, question: StatQuestion, source: Target, labels: Labels) -> bool:
    assert question.to
    namespace = question.to_namespace or question.namespace
    return any(
        question.to.name in ("", key[1]) and (question.to.kind == "namespace" or key[0] == namespace)
        for key in destinations(view, question.to.kind, source, labels)
    )


def _comes_from(question: StatQuestion, source: Target) -> bool:
    assert question.from_
    key = _key(question.from_.kind, source)
    if key is None or question.from_.name not in ("", key[1]):
        return False
    return question.from_.kind == "namespace" or key[0] == (question.from_namespace or question.namespace)


def destinations(view: View, kind: str, source: Target, labels: Labels) -> Iterable[Key]:
    """The names by which a kind of resource is where an outbound request went."""
    namespace = labels.get("dst_namespace", "")
    if kind == "service":
        return services(labels)
    if kind == "authority":
        authority = labels.get("authority")
        return ((_called(authority)[0] or source.namespace, authority),) if authority else ()
    if kind == "namespace":
        # What runs in another cluster runs in a namespace of that cluster.
        return (("", namespace),) if namespace and not labels.get("dst_cluster") else ()
    if labels.get("dst_cluster"):
        return ()
    if name := labels.get(known(kind).target_label):
        return ((namespace, name),)
    pod = view.by_name.get((namespace, labels.get("dst_pod", "")))
    return _own(kind, pod) if pod else ()


def services(labels: Labels) -> tuple[Key, ...]:
    """The service that was called and the one that answered, which differ where traffic is split."""
    answered = labels.get("dst_namespace", ""), labels.get("dst_service", "")
    called = _called(labels.get("authority", ""))
    return tuple(dict.fromkeys(key for key in (called, answered) if key[1]))


def _called(authority: str) -> Key:
    """Namespace and name in `<service>.<namespace>.svc.<domain>:<port>`; empty when it is no such thing."""
    parts = authority.split(".")
    return (parts[1], parts[0]) if len(parts) > 3 and parts[2] == "svc" else ("", "")


def _splits(view: View, question: StatQuestion, window: float) -> Iterator[StatRow]:
    wanted = _wanted(question, "trafficsplit")
    chosen = [split for split in view.splits if wanted(split.metadata.key)]
    if not chosen:
        return
    tallies: dict[tuple[Key, str], Tally] = {}
    for _, labels, counts in traffic(view, window):
        apex = _called(labels.get("authority", ""))
        if labels["direction"] == OUTBOUND and apex[1]:
            tally = tallies.setdefault((apex, labels.get("dst_service", "")), Tally())
            tally.add(labels, counts, peer=PEER[OUTBOUND])
    for split in sorted(chosen, key=lambda each: each.metadata.key):
        for backend in split.backends:
            yield StatRow(
                namespace=split.metadata.namespace,
                kind="trafficsplit",
                name=split.metadata.name,
                numbers=tallies.get((split.root, backend.service), Tally()).numbers(window),
                apex=split.spec.service,
                leaf=backend.service,
                weight=str(backend.weight),
            )
