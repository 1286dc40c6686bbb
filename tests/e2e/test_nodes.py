"""Clusters with three nodes: pods across them, nodes that are cordoned, drained and lost, and a mesh that stays."""

import json
import time
from typing import Any

import pytest
from tests.e2e import ring
from tests.lab_fixture import EAST, WEST, Lab

pytestmark = pytest.mark.lab

NODES = [f"{EAST}-{number}" for number in (1, 2, 3)]
GATEWAY = ("-n", "linkerd-multicluster")
PICKY: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "picky"},
    "spec": {
        "containers": [{"name": "app", "image": "pause"}],
        "nodeSelector": {"kubernetes.io/hostname": NODES[0]},
        "terminationGracePeriodSeconds": 0,
    },
}


def places(lab: Lab, *which: str) -> list[str]:
    """The nodes of pods that are not about to end."""
    found = lab.get(EAST, "pods", *which)
    return sorted(pod["spec"].get("nodeName", "") for pod in found if "deletionTimestamp" not in pod["metadata"])


def ready_places(lab: Lab) -> set[str]:
    slices = lab.get(EAST, "endpointslices", "-l", "kubernetes.io/service-name=backend")
    return {one["nodeName"] for item in slices for one in item["endpoints"] if one["conditions"]["ready"]}


def answers_for_the_gateway(lab: Lab) -> str:
    service = lab.get(EAST, "service", *GATEWAY, "linkerd-gateway")
    return str(service["metadata"]["annotations"]["lab.isthmus.io/answered-by"].partition("@")[2])


def test_replicas_are_on_different_nodes_and_pods_reach_each_other_across_them(nodes: Lab) -> None:
    assert places(nodes, *GATEWAY, "-l", "component=linkerd-gateway") == NODES
    assert len(set(places(nodes, "-l", "app=backend"))) == 2
    addresses = [pod["status"]["podIP"] for pod in nodes.get(EAST, "pods", "-l", "app=backend")]
    service = nodes.get(EAST, "service", "backend")["spec"]["clusterIP"]
    for node in NODES:
        for address in (*addresses, service):
            assert '"pod"' in nodes.node(node, "curl", "-sS", "-m", "5", f"http://{address}:8080/health"), node
    assert ring.ask(nodes, WEST, "backend-cluster-east")["status"] == "200"


def test_an_external_request_reaches_every_pod_by_every_nodes_port(nodes: Lab) -> None:
    nodes.kubectl(EAST, "expose", "deploy/backend", "--name", "open", "--port", "8080", "--type", "NodePort")
    port = nodes.get(EAST, "service", "open")["spec"]["ports"][0]["nodePort"]
    backends = ring.backends(nodes, EAST)
    for node in nodes.get(EAST, "nodes"):
        url = f"http://{node['status']['addresses'][0]['address']}:{port}/health"
        seen: set[str] = set()

        def all_seen(url: str = url, seen: set[str] = seen) -> bool:
            seen.add(json.loads(nodes.node(WEST, "curl", "-sS", "-m", "5", url))["pod"])
            return seen == backends

        nodes.wait(all_seen, what=f"every backend behind {url}")


def test_a_cordoned_node_takes_no_pod_until_it_is_uncordoned_and_a_drain_empties_it(nodes: Lab) -> None:
    nodes.kubectl(EAST, "drain", NODES[0], "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s")
    assert NODES[0] not in places(nodes, "-A")
    assert "Ready,SchedulingDisabled" in nodes.kubectl(EAST, "get", "node", NODES[0])
    nodes.apply(EAST, PICKY)
    why = "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match Pod's node affinity/selector."
    nodes.wait(lambda: why in nodes.kubectl(EAST, "describe", "pod", "picky"), what="the reason why the pod waits")
    assert nodes.get(EAST, "pod", "picky")["status"]["phase"] == "Pending"
    nodes.kubectl(EAST, "uncordon", NODES[0])
    nodes.kubectl(EAST, "wait", "pod/picky", "--for=condition=Ready", "--timeout=30s")
    nodes.kubectl(EAST, "delete", "pod", "picky")


def test_pods_of_a_killed_node_are_replaced_and_no_request_fails_once_it_is_known_to_be_lost(nodes: Lab) -> None:
    ring.rollout(nodes, EAST, "linkerd-gateway", namespace="linkerd-multicluster")
    for name in ("linkerd-destination", "linkerd-identity"):
        ring.rollout(nodes, EAST, name, namespace="linkerd")
    ring.rollout(nodes, EAST, "backend")
    speaker = answers_for_the_gateway(nodes)
    victim = next(node for node in places(nodes, "-l", "app=backend") if node != speaker)
    began = time.monotonic()
    with ring.steady(nodes, WEST, "backend-cluster-east", rate=200) as load, nodes.broken("node", victim, "kill"):
        assert f"node {EAST}/{victim} (kill)" in nodes.isthmus("lab", "status")
        nodes.wait(lambda: "NotReady" in nodes.kubectl(EAST, "get", "node", victim), what="the node to be NotReady")
        lost = time.monotonic() - began
        assert "Server Version" in nodes.kubectl(EAST, "version")
        nodes.wait(lambda: len(ready_places(nodes) - {victim}) == 2, what="a backend on another node", timeout=30)
        assert victim not in places(nodes, "-A")
        replaced = time.monotonic() - began
        whole = load.report()
        with ring.steady(nodes, WEST, "backend-cluster-east", rate=200) as later:
            afterwards = later.report()
    failed = f"{whole['failed']} of {whole['requests']} failed, slowest {whole['slowest_ms']} ms"
    print(f"NotReady after {lost:.1f} s, replaced after {replaced:.1f} s: {failed}")
    ring.without_failure(afterwards)
    nodes.wait(lambda: "NotReady" not in nodes.kubectl(EAST, "get", "node", victim), what="the node to be back")
    gone = lambda: all("deletionTimestamp" not in pod["metadata"] for pod in nodes.get(EAST, "pods", "-A"))  # noqa: E731
    nodes.wait(gone, what="its old pods to be gone")


def test_the_gateways_address_moves_when_the_node_that_answers_is_cut_off_and_stays_where_it_is(nodes: Lab) -> None:
    speaker = answers_for_the_gateway(nodes)
    with nodes.broken("node", speaker, "blackhole"):
        nodes.wait(lambda: answers_for_the_gateway(nodes) != speaker, what="another node to answer")
        other = answers_for_the_gateway(nodes)
        nodes.wait(
            lambda: ring.ask(nodes, WEST, "backend-cluster-east")["status"] == "200", what="an answer through it"
        )
    nodes.wait(lambda: "NotReady" not in nodes.kubectl(EAST, "get", "nodes"), what="the node to be back")
    assert answers_for_the_gateway(nodes) == other
