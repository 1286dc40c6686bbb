"""Clusters with three nodes: pods across them, nodes cordoned, drained and lost, and a mesh that stays, or grows."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.e2e import ring
from tests.lab_fixture import EAST, WEST, Lab

from isthmus import names

pytestmark = pytest.mark.lab

NODES = [f"{EAST}-{number}" for number in (1, 2, 3)]
GATEWAY = ("-n", names.MULTICLUSTER_NAMESPACE)
LOAD = 20_000
"""Bytes that only a load takes to a gateway in so short a time."""
LONGEST = 8000.0
"""Milliseconds: who dies with a node is asked again until something living is drawn."""
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

REGISTRY = "registry.example/team"
CONTROL_PLANE = ("linkerd-identity", "linkerd-destination", "linkerd-proxy-injector")
OF_ANOTHER_REGISTRY = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "of-another-registry", "annotations": {"linkerd.io/inject": "enabled"}},
    "spec": {"containers": [{"name": "app", "image": "pause"}], "terminationGracePeriodSeconds": 0},
}


def places(lab: Lab, *which: str) -> list[str]:
    """The nodes of pods that are not about to end."""
    found = lab.get(EAST, "pods", *which)
    return sorted(pod["spec"].get("nodeName", "") for pod in found if "deletionTimestamp" not in pod["metadata"])


def ready_backends(lab: Lab) -> list[str]:
    """The nodes of backends that are ready."""
    slices = lab.get(EAST, "endpointslices", "-l", "kubernetes.io/service-name=backend")
    return [one["nodeName"] for item in slices for one in item["endpoints"] if one["conditions"]["ready"]]


def elsewhere(found: list[str], node: str) -> bool:
    return len(found) == len(NODES) and node not in found


@contextmanager
def on_every_node(lab: Lab) -> Iterator[None]:
    """A backend and a gateway on each of the nodes."""
    ring.rollout(lab, EAST, "linkerd-gateway", namespace=GATEWAY[1])
    lab.kubectl(EAST, "scale", "deploy/backend", "--replicas", "3")
    try:
        ring.rollout(lab, EAST, "backend")
        assert sorted(ready_backends(lab)) == NODES
        yield
    finally:
        lab.kubectl(EAST, "scale", "deploy/backend", "--replicas", "2")
        ring.rollout(lab, EAST, "backend")


def answers_for_the_gateway(lab: Lab) -> str:
    service = lab.get(EAST, "service", *GATEWAY, "linkerd-gateway")
    return str(service["metadata"]["annotations"]["lab.isthmus.io/answered-by"].partition("@")[2])


def gateways(lab: Lab) -> dict[str, str]:
    """The gateways that are there to stay, and their nodes."""
    found = lab.get(EAST, "pods", *GATEWAY, "-l", "component=linkerd-gateway")
    return {
        pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in found if "deletionTimestamp" not in pod["metadata"]
    }


def carried(lab: Lab, pod: str) -> int:
    """Bytes that a gateway has taken from clients."""
    stats = f"127.0.0.1:{names.ENVOY_ADMIN_PORT}/stats?filter=^http.gateway.downstream_cx_rx_bytes_total$"
    shown = lab.exec(EAST, pod, "curl", "-s", stats, namespace=GATEWAY[1], container=names.PROXY_CONTAINER)
    return int(shown.rpartition(": ")[2] or 0)


def in_use(lab: Lab) -> str:
    """The gateway that carries a load."""
    before = {pod: carried(lab, pod) for pod in gateways(lab)}
    busy = lambda: [pod for pod in before if carried(lab, pod) > before[pod] + LOAD]  # noqa: E731
    return str(lab.wait(busy, what="a gateway that carries the load")[0])


def node_in_use(lab: Lab, *, besides: str) -> str:
    """The node of the gateway that carries a load; where that is `besides`, another one has to."""
    while (node := gateways(lab)[pod := in_use(lab)]) == besides:
        lab.kubectl(EAST, *GATEWAY, "delete", "pod", pod, "--wait=false")
        ring.rollout(lab, EAST, "linkerd-gateway", namespace=GATEWAY[1])
    return node


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


def test_a_node_killed_with_the_gateway_in_use_and_a_backend_fails_no_request_and_its_pods_are_replaced(
    nodes: Lab,
) -> None:
    for name in ("linkerd-destination", "linkerd-identity"):
        ring.rollout(nodes, EAST, name, namespace="linkerd")
    with on_every_node(nodes), ring.steady(nodes, WEST, "backend-cluster-east") as load:
        victim = node_in_use(nodes, besides=answers_for_the_gateway(nodes))
        began = time.monotonic()
        with nodes.broken("node", victim, "kill"):
            assert f"node {EAST}/{victim} (kill)" in nodes.isthmus("lab", "status")
            nodes.wait(lambda: "NotReady" in nodes.kubectl(EAST, "get", "node", victim), what="the node to be NotReady")
            lost = time.monotonic() - began
            assert "Server Version" in nodes.kubectl(EAST, "version")
            nodes.wait(lambda: elsewhere(ready_backends(nodes), victim), what="a backend on another node", timeout=30)
            assert victim not in places(nodes, "-A")
            replaced = time.monotonic() - began
            whole = load.report()
        nodes.wait(lambda: "NotReady" not in nodes.kubectl(EAST, "get", "node", victim), what="the node to be back")
        gone = lambda: all("deletionTimestamp" not in pod["metadata"] for pod in nodes.get(EAST, "pods", "-A"))  # noqa: E731
        nodes.wait(gone, what="its old pods to be gone")
    print(f"NotReady after {lost:.1f} s, replaced after {replaced:.1f} s: {whole}")
    ring.without_failure(whole, slowest=LONGEST)


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


def make_highly_available(lab: Lab) -> None:
    flags = ("--ha", "--registry", REGISTRY, "--set", "podLabels.team=mesh,proxy.logLevel=info")
    lab.apply(WEST, lab.linkerd(WEST, "install", *flags))
    for name in CONTROL_PLANE:
        lab.kubectl(WEST, "-n", "linkerd", "rollout", "status", f"deploy/{name}", "--timeout=60s")


def trust(lab: Lab) -> dict[str, str]:
    found: dict[str, str] = lab.get(WEST, "cm", "-n", "linkerd", "linkerd-identity-trust-roots")["data"]
    return found


def test_an_installation_becomes_highly_available_from_another_registry_while_it_is_used(nodes: Lab) -> None:
    before = trust(nodes)
    make_highly_available(nodes)
    for name in CONTROL_PLANE:
        deployment = nodes.get(WEST, "deploy", "-n", "linkerd", name)
        assert deployment["status"]["readyReplicas"] == 3
        assert deployment["spec"]["template"]["metadata"]["labels"]["team"] == "mesh"
        pods = nodes.get(WEST, "pods", "-n", "linkerd", "-l", f"linkerd.io/control-plane-component={name[8:]}")
        assert len({pod["spec"]["nodeName"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}) == 3
        assert nodes.get(WEST, "pdb", "-n", "linkerd", name)["spec"]["maxUnavailable"] == 1
    assert trust(nodes) == before, "the certificates are kept"
    nodes.apply(WEST, OF_ANOTHER_REGISTRY)
    nodes.kubectl(WEST, "wait", "pod/of-another-registry", "--for=condition=Ready", "--timeout=60s")
    proxy = nodes.get(WEST, "pod", "of-another-registry")["spec"]["initContainers"][1]
    assert proxy["image"].startswith(f"{REGISTRY}/proxy:")
    assert proxy["resources"] == {"requests": {"cpu": "100m", "memory": "20Mi"}, "limits": {"memory": "250Mi"}}
    answer = nodes.exec(WEST, "deploy/frontend", "curl", "-sS", "http://backend-cluster-east:8080/health")
    assert "spiffe://" in answer
