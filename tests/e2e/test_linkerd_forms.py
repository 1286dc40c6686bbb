"""Where Linkerd's documentation and other tutorials differ, both ways of saying it mean the same."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml
from tests.lab_fixture import BIN, EAST, WEST, Lab

pytestmark = pytest.mark.lab

EXTENSION = "linkerd-multicluster"
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: forms}
spec:
  selector: {matchLabels: {app: forms}}
  template:
    metadata: {labels: {app: forms}}
    spec: {containers: [{name: forms, image: your-registry/backend}]}
---
apiVersion: v1
kind: Service
metadata: {name: forms, labels: {mirror.linkerd.io/exported: "true"}}
spec: {selector: {app: forms}, ports: [{port: 80, targetPort: 8080}]}
"""


@pytest.fixture(scope="module")
def forms(mesh: Lab) -> Iterator[Lab]:
    """A service in each cluster that is exported by a label, with a proxy that `inject --manual` wrote."""
    for cluster in (EAST, WEST):
        words = [BIN / "linkerd", "inject", "--manual", "--context", cluster, "-"]
        done = subprocess.run(words, env=mesh.environment, input=WEB, capture_output=True, text=True, timeout=30)
        assert 'deployment "forms" injected' in done.stderr, done.stderr
        mesh.kubectl(cluster, "apply", "-f", "-", stdin=done.stdout)
    for cluster in (EAST, WEST):
        mesh.kubectl(cluster, "rollout", "status", "deploy/forms", "--timeout", "60s")
    yield mesh
    for cluster in (EAST, WEST):
        mesh.kubectl(cluster, "delete", "-f", "-", stdin=WEB)


def test_the_definitions_may_be_installed_first(mesh: Lab) -> None:
    for words in (("install", "--crds"), ("install",)):
        applied = mesh.kubectl(EAST, "apply", "-f", "-", stdin=mesh.linkerd(EAST, *words))
        assert {line.rpartition(" ")[2] for line in applied.splitlines()} == {"unchanged"}, applied


def test_a_label_exports_as_the_annotation_does(forms: Lab) -> None:
    forms.wait(lambda: "forms-cluster-east" in mirrors(forms, WEST), what="the mirror of a labelled service")
    answer = ask(forms, WEST, "http://forms-cluster-east/health")
    assert answer["pod"] in pods(forms, EAST)


def test_a_proxy_that_was_injected_by_hand_is_one_of_the_mesh(forms: Lab) -> None:
    """It is told who calls, and `identity` and `version` know it."""
    domain = forms.get(WEST, "configmap", "linkerd-identity-trust-roots", "-n", "linkerd")["data"]["trust-domain"]
    forms.wait(lambda: "forms-cluster-east" in mirrors(forms, WEST), what="the mirror")
    caller = ask(forms, WEST, "http://forms-cluster-east/health")["client_id"]
    assert caller == f"spiffe://{domain}/ns/default/sa/frontend"
    (pod,) = pods(forms, EAST)
    assert "/ns/default/sa/default" in forms.linkerd(EAST, "identity", pod)
    (workload,) = forms.get(EAST, "pods", "-l", "app=forms")
    assert workload["metadata"]["labels"]["linkerd.io/proxy-deployment"] == "forms"
    count = len(forms.get(EAST, "pods", "-n", "default", "-l", "linkerd.io/control-plane-ns"))
    told = forms.linkerd(EAST, "version", "--proxy", "--namespace", "default")
    assert re.search(rf"^\t\S+ \({count} pods\)$", told, re.MULTILINE)


def test_a_link_as_linkerd_writes_it_works_and_goes_by_its_name(forms: Lab) -> None:
    """`link-gen`, and a Link that is called like its cluster and says only what Linkerd's says."""
    printed = list(yaml.safe_load_all(forms.linkerd(WEST, "multicluster", "link-gen", "--cluster-name", WEST)))
    (link,) = [item for item in printed if item["kind"] == "Link"]
    link["metadata"]["name"] = WEST
    link["spec"] = {key: value for key, value in link["spec"].items() if not key.startswith("targetTrust")}
    forms.apply(EAST, *printed)
    ready = ("wait", f"link/{WEST}", "--for", "condition=Ready", "--timeout", "30s")
    try:
        forms.kubectl(EAST, "-n", EXTENSION, *ready)
        forms.wait(lambda: "forms-cluster-west" in mirrors(forms, EAST), what="the mirror in east")
        caller = pods(forms, EAST)[0]
        answer = ask(forms, EAST, "http://forms-cluster-west/health", target=f"pod/{caller}", container="forms")
        assert answer["pod"] in pods(forms, WEST)
    finally:
        forms.kubectl(EAST, "delete", "link", WEST, "-n", EXTENSION, "--timeout", "30s")
        forms.kubectl(EAST, "delete", "secret", "cluster-credentials-cluster-west", "-n", EXTENSION)
    forms.wait(lambda: not mirrors(forms, EAST), what="no mirror is left in east")


def test_a_request_goes_to_the_other_clusters_gateway_at_once(forms: Lab) -> None:
    """One hop: the gateway of the cluster where the request begins has no part in it."""
    forms.wait(lambda: "forms-cluster-east" in mirrors(forms, WEST), what="the mirror")
    scale = ("-n", EXTENSION, "scale", "deploy/linkerd-gateway", "--replicas")
    gateways = (WEST, "pods", "-n", EXTENSION, "-l", "component=linkerd-gateway")
    forms.kubectl(WEST, *scale, "0")
    try:
        forms.wait(lambda: not forms.get(*gateways), what="west has no gateway")
        assert ask(forms, WEST, "http://forms-cluster-east/health")["pod"] in pods(forms, EAST)
    finally:
        forms.kubectl(WEST, *scale, "1")
        forms.kubectl(WEST, "-n", EXTENSION, "rollout", "status", "deploy/linkerd-gateway", "--timeout", "60s")


def mirrors(lab: Lab, cluster: str) -> set[str]:
    selected = ("services", "-A", "-l", "mirror.linkerd.io/mirrored-service")
    return {item["metadata"]["name"] for item in lab.get(cluster, *selected)}


def pods(lab: Lab, cluster: str) -> list[str]:
    return [item["metadata"]["name"] for item in lab.get(cluster, "pods", "-l", "app=forms")]


def ask(
    lab: Lab, cluster: str, url: str, *, target: str = "deploy/frontend", container: str = "frontend"
) -> dict[str, str]:
    command = ("curl", "-sS", "--fail-with-body", "--max-time", "5", url)
    found: dict[str, str] = json.loads(lab.exec(cluster, target, *command, container=container))
    return found
