"""An installation becomes highly available, from another registry, while it is used; nothing loses its identity."""

from collections.abc import Iterator

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


def installed(mesh: Lab, *flags: str) -> None:
    mesh.apply(WEST, mesh.linkerd(WEST, "install", *flags))
    for name in CONTROL_PLANE:
        mesh.kubectl(WEST, "-n", "linkerd", "rollout", "status", f"deploy/{name}", "--timeout=60s")


@pytest.fixture
def highly_available(mesh: Lab) -> Iterator[Lab]:
    installed(mesh, "--ha", "--registry", REGISTRY, "--set", "podLabels.team=mesh,proxy.logLevel=info")
    try:
        yield mesh
    finally:
        mesh.kubectl(WEST, "delete", "pod", "of-another-registry", "--ignore-not-found")
        mesh.kubectl(WEST, "-n", "linkerd", "delete", "pdb", *CONTROL_PLANE)
        installed(mesh)


def trust(mesh: Lab) -> dict[str, str]:
    found: dict[str, str] = mesh.get(WEST, "cm", "-n", "linkerd", "linkerd-identity-trust-roots")["data"]
    return found


def test_three_of_each_serve_a_new_pod_and_the_old_ones(request: pytest.FixtureRequest, mesh: Lab) -> None:
    before = trust(mesh)
    request.getfixturevalue("highly_available")
    for name in CONTROL_PLANE:
        deployment = mesh.get(WEST, "deploy", "-n", "linkerd", name)
        assert deployment["status"]["readyReplicas"] == 3
        assert deployment["spec"]["template"]["metadata"]["labels"]["team"] == "mesh"
        assert mesh.get(WEST, "pdb", "-n", "linkerd", name)["spec"]["maxUnavailable"] == 1
    assert trust(mesh) == before, "the certificates are kept"
    mesh.apply(WEST, POD)
    mesh.kubectl(WEST, "wait", "pod/of-another-registry", "--for=condition=Ready", "--timeout=60s")
    proxy = mesh.get(WEST, "pod", "of-another-registry")["spec"]["initContainers"][1]
    assert proxy["image"].startswith(f"{REGISTRY}/proxy:")
    assert proxy["resources"] == {"requests": {"cpu": "100m", "memory": "20Mi"}, "limits": {"memory": "250Mi"}}
    answer = mesh.exec(WEST, "deploy/frontend", "curl", "-sS", "http://backend-cluster-east:8080/health")
    assert "spiffe://" in answer
