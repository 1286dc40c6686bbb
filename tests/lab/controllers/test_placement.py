"""Where pods go, where they cannot, and when they must leave: as Kubernetes decides it."""

from datetime import UTC, datetime, timedelta
from math import inf

import pytest

from isthmus.lab import stamps
from isthmus.lab.controllers import placement, taints
from isthmus.lab.controllers.nodes import GRACE, Pulse

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def node(name, *, ready="True", labels=None, tainted=(), **spec):
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {**({"taints": list(tainted)} if tainted else {}), **spec},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3"},
        },
    }


def pod(name="new", *, app="web", owner="", requests=None, **spec):
    references = [{"controller": True, "kind": "ReplicaSet", "name": owner, "uid": owner}] if owner else []
    container = {"name": "app", "resources": {"requests": requests or {}}}
    metadata = {"name": name, "namespace": "default", "uid": name, "labels": {"app": app}}
    return {"metadata": metadata | {"ownerReferences": references}, "spec": {"containers": [container], **spec}}


def cluster(*nodes, pods=None):
    sites = [placement.Site(one, (pods or {}).get(one["metadata"]["name"], [])) for one in nodes]
    return placement.Cluster(sites, {"default": {}})


def why_not(one, where):
    with pytest.raises(placement.NowhereError) as refused:
        placement.place(one, where)
    return str(refused.value)


def term(**more):
    return {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname", **more}


APART = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term()]}}
RATHER_APART = {
    "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term()}]}
}
TOGETHER = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term()]}}
A, B = node("a"), node("b")


def test_replicas_spread_over_nodes():
    assert placement.place(pod(owner="r"), cluster(A, B, pods={"a": [pod("one", owner="r")]})) == "b"


def test_pods_that_must_be_apart_never_share_a_node_and_say_so():
    assert placement.place(pod(affinity=APART), cluster(A, B, pods={"a": [pod("one")]})) == "b"
    full = cluster(A, B, pods={"a": [pod("one")], "b": [pod("two")]})
    assert why_not(pod(affinity=APART), full) == (
        "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules. preemption: 0/2 nodes are available: "
        "2 Preemption is not helpful for scheduling."
    )


def test_who_is_there_first_keeps_others_away():
    held = cluster(A, pods={"a": [pod("one", affinity=APART)]})
    assert "didn't satisfy existing pods anti-affinity rules" in why_not(pod(), held)


def test_pods_that_had_rather_be_apart_share_a_node_when_there_is_no_other():
    crowd = [pod(f"other-{n}", app="other") for n in range(2)]
    where = cluster(A, B, pods={"a": [pod("one")], "b": crowd})
    assert placement.place(pod(affinity=RATHER_APART), where) == "b"
    assert placement.place(pod(affinity=RATHER_APART), cluster(A, pods={"a": [pod("one")]})) == "a"


def test_pods_that_must_be_together_are_and_the_first_may_be_anywhere():
    assert placement.place(pod(affinity=TOGETHER), cluster(A, B, pods={"b": [pod("one")]})) == "b"
    assert placement.place(pod(affinity=TOGETHER), cluster(A)) == "a"
    assert "didn't match pod affinity rules" in why_not(pod(app="other", affinity=TOGETHER), cluster(A))


def test_a_spread_constraint_counts_only_nodes_that_the_pod_may_use():
    spread = [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]
    hard = [{**spread[0], "whenUnsatisfiable": "DoNotSchedule"}]
    busy = {"a": [pod("one")]}
    assert placement.place(pod(topologySpreadConstraints=hard), cluster(A, B, pods=busy)) == "b"
    cordoned = cluster(A, node("b", unschedulable=True), pods=busy)
    assert "1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable" in why_not(
        pod(topologySpreadConstraints=hard), cordoned
    )
    assert placement.place(pod(topologySpreadConstraints=hard, nodeSelector=A["metadata"]["labels"]), cordoned) == "a"


@pytest.mark.parametrize(
    ("one", "where", "reason"),
    [
        (pod(nodeSelector={"disk": "fast"}), A, "didn't match Pod's node affinity/selector"),
        (pod(requests={"cpu": "3"}), A, "Insufficient cpu"),
        (pod(requests={"memory": "2Gi"}), A, "Insufficient memory"),
        (pod(), node("a", ready="Unknown"), "had untolerated taint(s)"),
        (pod(), node("a", tainted=[{"key": "k", "value": "v", "effect": "NoSchedule"}]), "had untolerated taint(s)"),
        (pod(), node("a", unschedulable=True), "were unschedulable"),
    ],
)
def test_a_pod_that_fits_nowhere_is_told_why(one, where, reason):
    said = why_not(one, cluster(where))
    assert said.startswith("0/1 nodes are available: 1 ")
    assert reason in said


def test_a_full_node_and_no_node_at_all_take_nobody():
    assert "Too many pods" in why_not(pod(), cluster(A, pods={"a": [pod(str(n)) for n in range(3)]}))
    assert why_not(pod(), cluster()) == "no nodes available to schedule pods"


def test_required_node_affinity_takes_one_of_its_terms():
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["z"]}]}]
    terms.append({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]})
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    assert placement.place(pod(affinity=affinity), cluster(A, B)) == "b"


def test_a_lost_or_cordoned_node_is_tainted_and_other_taints_stay():
    own = {"key": "mine", "effect": "NoSchedule"}
    lost = taints.wanted(node("a", ready="Unknown", tainted=[own], unschedulable=True), "now")
    assert [(taint["key"].rpartition("/")[2], taint["effect"]) for taint in lost] == [
        ("mine", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
        ("unreachable", "NoSchedule"),
        ("unreachable", "NoExecute"),
    ]
    assert taints.wanted(node("a", tainted=lost), "later") == [own]


@pytest.mark.parametrize(
    ("tolerations", "left"),
    [
        ((), taints.TOLERATED_SECONDS - 2),
        (({"operator": "Exists"},), inf),
        (({"key": taints.UNREACHABLE, "operator": "Exists", "tolerationSeconds": 60},), 58),
        (({"key": taints.UNREACHABLE, "operator": "Exists", "effect": "NoSchedule"},), taints.TOLERATED_SECONDS - 2),
    ],
)
def test_a_pod_stays_on_a_lost_node_as_long_as_it_tolerates_that(tolerations, left):
    since = stamps.written(NOW - timedelta(seconds=2))
    taint = {"key": taints.UNREACHABLE, "effect": "NoExecute", "timeAdded": since}
    assert taints.seconds_left(pod(tolerations=list(tolerations)), [taint], NOW) == left


def test_a_taint_that_people_made_drives_out_who_does_not_tolerate_it():
    taint = {"key": "k", "value": "v", "effect": "NoExecute"}
    assert taints.seconds_left(pod(), [taint], NOW) <= 0
    tolerant = pod(tolerations=[{"key": "k", "operator": "Equal", "value": "v"}])
    assert taints.seconds_left(tolerant, [taint], NOW) == inf


def test_only_nodes_that_fall_silent_are_lost_and_not_while_nobody_can_be_heard():
    pulse = Pulse()
    assert pulse.lost({"a": "1", "b": "1"}, 0.0) == set()
    assert pulse.lost({"a": "1", "b": "2"}, GRACE + 1) == {"a"}
    pulse.forget()
    assert pulse.lost({"a": "1", "b": "2"}, 100.0) == set()
