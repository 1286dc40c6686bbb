"""A user who reads `linkerd multicluster --help` and nothing else."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab_fixture import BIN, Lab, start

pytestmark = pytest.mark.lab

INSTALL = "linkerd --context {0} install | kubectl --context {0} apply -f -"
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {linkerd.io/inject: enabled}}
    spec: {containers: [{name: web, image: your-registry/backend}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""
COMMAND_TIMEOUT = 100.0


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Lab]:
    """East with a service, west with a client, both with Linkerd."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    path = tmp_path / "lab"
    try:
        lab = start(path, clusters="east,west")
        for cluster in ("east", "west"):
            run(lab, INSTALL.format(cluster))
            run(lab, f"linkerd --context {cluster} check")
        lab.apply("east", WEB)
        lab.apply("west", WEB.replace("web", "client"))
        yield lab
    finally:
        Lab(path, dict(os.environ)).isthmus("lab", "down", check=False)


def test_its_commands_link_two_clusters_in_the_order_in_which_they_stand(clusters: Lab) -> None:
    steps = re.split(r"^ *\d+\. ", told(), flags=re.MULTILINE)[1:]
    assert len(steps) == 7
    for number, step in enumerate(steps, start=1):
        for command in re.findall(r"^ +((?:linkerd|kubectl) --context .+)$", step, re.MULTILINE):
            wait_for_the_mirror(clusters, command)
            run(clusters, command)
        if number == 4:
            name = "http://web-east/health"
            assert "200" in clusters.exec("west", "deploy/client", "curl", "-sSi", name, container="client")
        if number == 5:
            assert clusters.get("west", "services", "web-east")
        if number == 6:
            clusters.wait(lambda: not mirrored(clusters), what="the mirror is gone")
    assert clusters.get("west", "namespaces", "linkerd", "--ignore-not-found")
    assert "linkerd-multicluster" not in clusters.kubectl("west", "get", "deployments", "-A")


def told() -> str:
    return subprocess.run(
        [BIN / "linkerd", "multicluster", "--help"], capture_output=True, text=True, timeout=30, check=True
    ).stdout


def wait_for_the_mirror(lab: Lab, command: str) -> None:
    """A reader looks again when it is not there yet: it appears a moment after the export."""
    if command == "kubectl --context west get services web-east":
        lab.wait(lambda: mirrored(lab), what="the mirror")


def mirrored(lab: Lab) -> bool:
    return bool(lab.kubectl("west", "get", "services", "web-east", "--ignore-not-found"))


def run(lab: Lab, command: str) -> None:
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", command],
        env=lab.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
