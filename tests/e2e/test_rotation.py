"""Roots, issuers and the webhook's certificate are replaced while everything runs, and nobody notices."""

import time

import pytest
from tests.e2e import certificates, inside
from tests.e2e.loading import load
from tests.lab_fixture import EAST, WEST, Lab

from isthmus import names
from isthmus.kube import pki

pytestmark = pytest.mark.lab

RATE = 500.0
ENOUGH = "/tmp/enough"
STEPS = 3


def rotate(lab: Lab, cluster: str) -> list[float]:
    """All steps, as an operator pipes them; the seconds that each took."""
    took = []
    for _ in range(STEPS):
        began = time.monotonic()
        lab.apply(cluster, lab.linkerd(cluster, "rotate", "root", "-o", "json", "--wait", "60s"))
        took.append(round(time.monotonic() - began, 1))
    return took


def fingerprints(lab: Lab, cluster: str) -> set[str]:
    return {pki.fingerprint(each) for each in pki.load_certificates(certificates.trust(lab, cluster)[1])}


def test_the_roots_of_both_clusters_are_rotated_under_load_without_a_failed_request(mesh: Lab) -> None:
    before = {cluster: (certificates.trust(mesh, cluster)[0], fingerprints(mesh, cluster)) for cluster in (EAST, WEST)}
    pods = {pod["metadata"]["uid"] for cluster in (EAST, WEST) for pod in mesh.get(cluster, "pods", "-A")}
    with load(mesh, "backend-cluster-east", connections=8, requests=0, rate=RATE, until=ENOUGH) as running:
        running.answered(1000)
        took = {cluster: rotate(mesh, cluster) for cluster in (EAST, WEST)}
        mesh.exec(WEST, "deploy/frontend", "touch", ENOUGH, container="frontend")
        result = running.finish()
    mesh.exec(WEST, "deploy/frontend", "rm", ENOUGH, container="frontend")
    print(f"seconds of each step: {took}; {result}")
    assert result["failed"] == 0, result["failures"]
    assert result["requests"] > RATE * sum(map(sum, took.values())) / 2
    for cluster, (domain, roots) in before.items():
        assert certificates.trust(mesh, cluster)[0] == domain, "the trust domain stays"
        assert not roots & fingerprints(mesh, cluster), "no root is left of those before"
    assert pods == {pod["metadata"]["uid"] for cluster in (EAST, WEST) for pod in mesh.get(cluster, "pods", "-A")}
    mesh.wait(lambda: mesh.get(WEST, "links", "-A")[0]["status"]["ready"] == "True", what="the link is ready again")


def test_an_installation_that_is_applied_again_keeps_what_proves_the_new_root(mesh: Lab) -> None:
    words = ("cm", names.TRUST_ROOTS_CONFIG_MAP, "-n", names.CONTROL_PLANE_NAMESPACE)
    before = mesh.get(WEST, *words)["data"]
    if names.LINEAGE_KEY not in before:
        rotate(mesh, WEST)
        before = mesh.get(WEST, *words)["data"]
    assert before[names.LINEAGE_KEY]
    mesh.apply(WEST, mesh.linkerd(WEST, "install"))
    assert mesh.get(WEST, *words)["data"] == before


def test_a_proxy_that_starts_again_in_an_old_pod_knows_the_new_root(mesh: Lab) -> None:
    """Its environment still holds the root of the day when the pod was made."""
    pod = mesh.get(WEST, "pods", "-l", "app=frontend")[0]
    (proxy,) = [c for c in pod["spec"]["initContainers"] if c["name"] == names.PROXY_CONTAINER]
    (baked,) = [each["value"] for each in proxy["env"] if each["name"] == "ISTHMUS_TRUST_ANCHORS"]
    if {pki.fingerprint(each) for each in pki.load_certificates(baked)} & fingerprints(mesh, WEST):
        rotate(mesh, WEST)
    before = restarts(mesh)
    inside.kill([pid for pid, line in inside.processes(mesh, WEST, pod).items() if line.startswith("envoy ")])
    mesh.wait(lambda: restarts(mesh) > before, what="the proxy to be started again")
    with load(mesh, "backend-cluster-east", connections=1, requests=20) as running:
        assert running.finish()["failed"] == 0


def restarts(lab: Lab) -> int:
    """How often the frontend's proxy was started again, as far as it is ready."""
    (status,) = [
        each
        for each in lab.get(WEST, "pods", "-l", "app=frontend")[0]["status"]["initContainerStatuses"]
        if each["name"] == names.PROXY_CONTAINER
    ]
    return int(status["restartCount"]) if status["ready"] else -1


def test_the_webhook_gets_another_certificate_and_pods_are_injected_all_the_while(mesh: Lab) -> None:
    def injected(name: str) -> bool:
        container = {"name": "web", "image": "registry.k8s.io/pause:3.10"}
        metadata = {"name": name, "namespace": "default", "annotations": {names.INJECT_ANNOTATION: "enabled"}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
        mesh.apply(EAST, pod)
        made = mesh.get(EAST, "pod", name)
        mesh.kubectl(EAST, "delete", "pod", name, "--wait=false")
        return any(each["name"] == names.PROXY_CONTAINER for each in made["spec"].get("initContainers", []))

    def served() -> str:
        context = ("-connect", f"{address}:443", "-servername", f"{names.INJECTOR_SERVICE}.linkerd.svc")
        return mesh.node(EAST, "sh", "-c", f"openssl s_client {' '.join(context)} </dev/null 2>/dev/null", check=False)

    address = mesh.get(EAST, "svc", "-n", "linkerd", names.INJECTOR_SERVICE)["spec"]["clusterIP"]
    before = served().partition("-----BEGIN")[2]
    mesh.apply(EAST, mesh.linkerd(EAST, "rotate", "webhook", "-o", "json"))
    assert injected("first")
    mesh.wait(lambda: served().partition("-----BEGIN")[2] not in ("", before), what="the injector shows the new one")
    assert injected("second")
    # Until then kubectl's own note on the webhook is of before, and the next `apply` would call it configured.
    mesh.apply(EAST, mesh.linkerd(EAST, "install"))
    assert "√ proxy-injector webhook has valid cert" in mesh.linkerd(EAST, "check")
    assert injected("third")
