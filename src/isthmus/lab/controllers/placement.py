"""Where a pod can run and where it had best run: the rules of Kubernetes' scheduler. Pure: no I/O, no clock.

What is not counted: what pods reserve of a node together. A pod must fit into an empty node.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from isthmus.lab import labels
from isthmus.lab.client import Object
from isthmus.lab.controllers import objects, taints
from isthmus.lab.node.environment import amount

HOSTNAME: Final = "kubernetes.io/hostname"
CROWD: Final = 0.01
"""What each pod on a node weighs against it: little, so that it only decides where nothing else does."""
SIBLING: Final = 1.0
"""What each pod of the same owner on a node weighs against it."""

Terms = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Site:
    """A node and the pods on it, those that end included."""

    node: Object
    pods: Sequence[Object]

    @property
    def name(self) -> str:
        return str(self.node["metadata"]["name"])


@dataclass(frozen=True)
class Cluster:
    """All nodes, and the labels of namespaces."""

    sites: Sequence[Site]
    namespaces: Mapping[str, Mapping[str, str]]

    @cached_property
    def repellers(self) -> list[tuple[Mapping[str, Any], Object, Site]]:
        """Pods that stay away from others, each with its term and its place."""
        pods = ((pod, site) for site in self.sites for pod in site.pods)
        return [(term, pod, site) for pod, site in pods for term in _required(pod, "podAntiAffinity")]


class NowhereError(Exception):
    """No node can take a pod; the text is what `kubectl describe pod` shows."""


def place(pod: Object, cluster: Cluster) -> str:
    """The name of the node for a pod; raises NowhereError."""
    refusals = {site.name: reason for site in cluster.sites if (reason := refusal(pod, site, cluster))}
    possible = [site for site in cluster.sites if site.name not in refusals]
    if possible:
        return max(possible, key=lambda site: score(pod, site, cluster)).name
    raise NowhereError(explain(refusals))


def explain(refusals: Mapping[str, str]) -> str:
    """Why none of the nodes, in the words of Kubernetes' scheduler."""
    if not refusals:
        return "no nodes available to schedule pods"
    total = len(refusals)
    counted = sorted(f"{count} {reason}" for reason, count in Counter(refusals.values()).items())
    return (
        f"0/{total} nodes are available: {', '.join(counted)}. preemption: 0/{total} nodes are available: "
        f"{total} Preemption is not helpful for scheduling."
    )


def refusal(pod: Object, site: Site, cluster: Cluster) -> str:
    """The first reason why a node cannot take a pod, or ""."""
    return next((reason for check in _CHECKS if (reason := check(pod, site, cluster))), "")


def _unschedulable(pod: Object, site: Site, _: Cluster) -> str:
    taint = {"key": taints.UNSCHEDULABLE, "effect": "NoSchedule"}
    if site.node["spec"].get("unschedulable") and not taints.tolerated(taint, _tolerations(pod)):
        return "node(s) were unschedulable"
    return ""


def _tainted(pod: Object, site: Site, _: Cluster) -> str:
    hard = [taint for taint in taints.of(site.node) if taint["effect"] in ("NoSchedule", "NoExecute")]
    if not objects.living(site.node) and not hard:
        hard = [{"key": taints.NOT_READY, "effect": "NoSchedule"}]
    return "" if all(taints.tolerated(one, _tolerations(pod)) for one in hard) else "node(s) had untolerated taint(s)"


def _not_selected(pod: Object, site: Site, _: Cluster) -> str:
    return "" if selected(pod, site.node) else "node(s) didn't match Pod's node affinity/selector"


def selected(pod: Object, node: Object) -> bool:
    """Whether a pod's node selector and required node affinity let it onto a node."""
    if not (pod["spec"].get("nodeSelector") or {}).items() <= objects.labels(node).items():
        return False
    required = _affinity(pod, "nodeAffinity").get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(_node_matches(term, node) for term in required.get("nodeSelectorTerms") or ())


def _too_small(pod: Object, site: Site, _: Cluster) -> str:
    allocatable = site.node.get("status", {}).get("allocatable") or {}
    if len(site.pods) >= int(allocatable.get("pods", len(site.pods) + 1)):
        return "Too many pods"
    for name in ("cpu", "memory"):
        if name in allocatable and _requested(pod, name) > amount(str(allocatable[name])):
            return f"Insufficient {name}"
    return ""


def _unwanted_company(pod: Object, site: Site, cluster: Cluster) -> str:
    for term in _required(pod, "podAffinity"):
        if not _met(term, pod, site, cluster) and not _first_of_its_kind(term, pod, cluster):
            return "node(s) didn't match pod affinity rules"
    if any(_met(term, pod, site, cluster) for term in _required(pod, "podAntiAffinity")):
        return "node(s) didn't match pod anti-affinity rules"
    for term, neighbour, where in cluster.repellers:
        ending = objects.deleting(neighbour)
        if not ending and _same_domain(term, where, site) and _term_matches(term, neighbour, pod, cluster):
            return "node(s) didn't satisfy existing pods anti-affinity rules"
    return ""


def _uneven(pod: Object, site: Site, cluster: Cluster) -> str:
    for constraint in _spread(pod, "DoNotSchedule"):
        key = constraint["topologyKey"]
        if key not in objects.labels(site.node):
            return "node(s) didn't match pod topology spread constraints (missing required label)"
        if _skew(constraint, pod, site, cluster) > int(constraint.get("maxSkew", 1)):
            return "node(s) didn't match pod topology spread constraints"
    return ""


_CHECKS: Final[Sequence[Callable[[Object, Site, Cluster], str]]] = (
    _unschedulable,
    _tainted,
    _not_selected,
    _too_small,
    _uneven,
    _unwanted_company,
)
"""In the order in which Kubernetes' scheduler asks."""


def score(pod: Object, site: Site, cluster: Cluster) -> float:
    """How well a node suits a pod that it can take: higher is better."""
    soft = [taint for taint in taints.of(site.node) if taint["effect"] == "PreferNoSchedule"]
    points = -float(sum(not taints.tolerated(taint, _tolerations(pod)) for taint in soft))
    for preference in _preferred(pod, "nodeAffinity"):
        points += preference["weight"] * _node_matches(preference["preference"], site.node)
    for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        for preference in _preferred(pod, kind):
            term = preference["podAffinityTerm"]
            points += sign * preference["weight"] * _company(term, pod, site, cluster)
    points -= sum(_skew(constraint, pod, site, cluster) for constraint in _spread(pod, "ScheduleAnyway"))
    return points - SIBLING * _siblings(pod, site) - CROWD * len(site.pods)


def _siblings(pod: Object, site: Site) -> int:
    owner = objects.controller_of(pod)
    if owner is None:
        return 0
    return sum((objects.controller_of(other) or {}).get("uid") == owner["uid"] for other in site.pods)


def _tolerations(pod: Object) -> Terms:
    return pod["spec"].get("tolerations") or ()


def _affinity(pod: Object, kind: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (pod["spec"].get("affinity") or {}).get(kind) or {}
    return found


def _required(pod: Object, kind: str) -> Terms:
    return _affinity(pod, kind).get("requiredDuringSchedulingIgnoredDuringExecution") or ()


def _preferred(pod: Object, kind: str) -> Terms:
    return _affinity(pod, kind).get("preferredDuringSchedulingIgnoredDuringExecution") or ()


def _spread(pod: Object, when: str) -> list[Mapping[str, Any]]:
    found = pod["spec"].get("topologySpreadConstraints") or ()
    return [one for one in found if one.get("whenUnsatisfiable", "DoNotSchedule") == when]


# --- what terms mean ---


def _node_matches(term: Mapping[str, Any], node: Object) -> bool:
    fields = {"metadata.name": node["metadata"]["name"]}
    expressions, names = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not names:
        return False
    own = objects.labels(node)
    return all(_node_expression(one, own) for one in expressions) and all(
        _node_expression(one, fields) for one in names
    )


def _node_expression(expression: Mapping[str, Any], found: Mapping[str, str]) -> bool:
    if expression["operator"] in ("Gt", "Lt"):
        try:
            value, bound = int(found[expression["key"]]), int(expression["values"][0])
        except (KeyError, ValueError, IndexError):
            return False
        return value > bound if expression["operator"] == "Gt" else value < bound
    if expression["operator"] == "NotIn":
        return found.get(expression["key"]) not in (expression.get("values") or ())
    return labels.selects({"matchExpressions": [expression]}, found)


def _term_matches(term: Mapping[str, Any], owner: Object, other: Object, cluster: Cluster) -> bool:
    """Whether a term of `owner` speaks of `other`."""
    selector = term.get("labelSelector")
    return (
        selector is not None
        and not objects.deleting(other)
        and _in_scope(term, owner, other["metadata"]["namespace"], cluster)
        and labels.selects(selector, objects.labels(other))
    )


def _in_scope(term: Mapping[str, Any], owner: Object, namespace: str, cluster: Cluster) -> bool:
    if namespace in (term.get("namespaces") or ()):
        return True
    selector = term.get("namespaceSelector")
    if selector is None:
        return not term.get("namespaces") and namespace == owner["metadata"]["namespace"]
    return labels.selects(selector, cluster.namespaces.get(namespace) or {})


def _same_domain(term: Mapping[str, Any], one: Site, other: Site) -> bool:
    key = term["topologyKey"]
    mine, theirs = objects.labels(one.node).get(key), objects.labels(other.node).get(key)
    return mine is not None and mine == theirs


def _company(term: Mapping[str, Any], pod: Object, site: Site, cluster: Cluster) -> int:
    """How many pods of a term there are where this node is."""
    return sum(
        _term_matches(term, pod, other, cluster)
        for place in cluster.sites
        if _same_domain(term, place, site)
        for other in place.pods
    )


def _met(term: Mapping[str, Any], pod: Object, site: Site, cluster: Cluster) -> bool:
    return _company(term, pod, site, cluster) > 0


def _first_of_its_kind(term: Mapping[str, Any], pod: Object, cluster: Cluster) -> bool:
    """A pod that wants to be with its like may be the first of them."""
    others = (other for site in cluster.sites for other in site.pods)
    return _term_matches(term, pod, pod, cluster) and not any(_term_matches(term, pod, one, cluster) for one in others)


def _skew(constraint: Mapping[str, Any], pod: Object, site: Site, cluster: Cluster) -> int:
    """How many more pods this node's part of the cluster would have than the part with the fewest."""
    key = constraint["topologyKey"]
    selector = constraint.get("labelSelector") or {}
    counts: Counter[str] = Counter()
    for place in cluster.sites:
        domain = objects.labels(place.node).get(key)
        if domain is None or not selected(pod, place.node):
            continue
        counts[domain] += sum(
            other["metadata"]["namespace"] == pod["metadata"]["namespace"]
            and not objects.deleting(other)
            and labels.selects(selector, objects.labels(other))
            for other in place.pods
        )
    own = objects.labels(site.node).get(key)
    if own is None or not counts:
        return 0
    return counts[own] + labels.selects(selector, objects.labels(pod)) - min(counts.values())


def _requested(pod: Object, name: str) -> float:
    """What the largest of a pod's moments asks for: its containers together, or one init container."""
    spec = pod["spec"]
    inits = spec.get("initContainers") or ()
    sidecars = [one for one in inits if one.get("restartPolicy") == "Always"]
    together = sum(_request(one, name) for one in (*spec["containers"], *sidecars))
    return max([together, *(_request(one, name) for one in inits)])


def _request(container: Mapping[str, Any], name: str) -> float:
    resources = container.get("resources") or {}
    text = (resources.get("requests") or {}).get(name) or (resources.get("limits") or {}).get(name)
    return amount(str(text)) if text is not None else 0.0
