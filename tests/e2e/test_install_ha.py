"""An installation becomes highly available, from another registry, while it is used; nothing loses its identity."""

import pytest
from tests.lab_fixture import WEST, Lab

pytestmark = pytest.mark.lab

REGISTRY = "registry.example/team"
CONTROL_PLANE = ("linkerd-identity", "linkerd-destination", "linkerd-proxy-injector")
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "of-another-registry", "annotations": {"linkerd.io/inject": "enabled"}},
    "spec": {"containers": [{"name": "app", "image": "pause"}], "terminationGracePeriodSeconds": 0},
}


def make_highly_available(mesh: Lab) -> None:
    flags = ("--ha", "--registry", REGISTRY, "--set", "podLabels.team=mesh,proxy.logLevel=info")
    mesh.apply(WEST, mesh.linkerd(WEST, "install", *flags))
    for name in CONTROL_PLANE:
        mesh.kubectl(WEST, "-n", "linkerd", "rollout", "status", f"deploy/{name}", "--timeout=60s")


def trust(mesh: Lab) -> dict[str, str]:
    found: dict[str, str] = mesh.get(WEST, "cm", "-n", "linkerd", "linkerd-identity-trust-roots")["data"]
    return found


def test_three_of_each_serve_a_new_pod_and_the_old_ones(nodes: Lab) -> None:
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
    nodes.apply(WEST, POD)
    nodes.kubectl(WEST, "wait", "pod/of-another-registry", "--for=condition=Ready", "--timeout=60s")
    proxy = nodes.get(WEST, "pod", "of-another-registry")["spec"]["initContainers"][1]
    assert proxy["image"].startswith(f"{REGISTRY}/proxy:")
    assert proxy["resources"] == {"requests": {"cpu": "100m", "memory": "20Mi"}, "limits": {"memory": "250Mi"}}
    answer = nodes.exec(WEST, "deploy/frontend", "curl", "-sS", "http://backend-cluster-east:8080/health")
    assert "spiffe://" in answer
