"""A lab comes up, heals what dies in it, forwards to what is ready, and leaves nothing."""

import json
import os
import signal

import pytest
from tests.lab_fixture import EAST, WEST, Lab, start

from isthmus.lab import processes

pytestmark = pytest.mark.lab

BACKEND = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      containers:
      - name: echo
        image: your-registry/backend:latest
        ports: [{containerPort: 8080}]
        readinessProbe: {tcpSocket: {port: 8080}}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: default}
spec: {type: LoadBalancer, selector: {app: echo}, ports: [{port: 80, targetPort: 8080}]}
"""


@pytest.fixture
def echo(lab: Lab):
    lab.apply(EAST, BACKEND)
    lab.kubectl(EAST, "rollout", "status", "deploy/echo", "--timeout=60s")
    yield "echo"
    lab.kubectl(EAST, "delete", "deploy/echo", "svc/echo")


def test_a_service_answers_by_name_by_load_balancer_and_by_node_port(lab: Lab, echo):
    for _ in range(8):
        assert (
            json.loads(lab.exec(EAST, "deploy/echo", "curl", "-sS", "-m", "5", "http://echo/"))["service"] == "backend"
        )
    service = lab.wait(
        lambda: (found := lab.get(EAST, "svc", "echo"))["status"]["loadBalancer"].get("ingress") and found,
        what="an address",
    )
    address, port = service["status"]["loadBalancer"]["ingress"][0]["ip"], service["spec"]["ports"][0]["nodePort"]
    for url in (f"http://{address}/", f"http://172.30.0.11:{port}/"):
        assert "backend" in lab.node(WEST, "curl", "-sS", "-m", "5", url)


def test_a_service_without_ready_pods_refuses_at_once(lab: Lab, echo):
    lab.kubectl(EAST, "scale", "deploy/echo", "--replicas=0")
    address = lab.get(EAST, "svc", "echo")["spec"]["clusterIP"]
    refused = lab.wait(
        lambda: (
            "Failed to connect" in (said := lab.node(EAST, "curl", "-sS", "-m", "5", f"http://{address}/", check=False))
            and said
        ),
        what="a refusal",
    )
    assert "timed out" not in refused


def test_deleting_a_deployment_takes_its_pods_and_deleting_a_namespace_takes_all(lab: Lab):
    lab.kubectl(WEST, "create", "namespace", "short")
    lab.apply(WEST, BACKEND.replace("namespace: default", "namespace: short"))
    lab.kubectl(WEST, "-n", "short", "rollout", "status", "deploy/echo", "--timeout=60s")
    lab.kubectl(WEST, "-n", "short", "delete", "deploy/echo")
    lab.wait(lambda: not lab.get(WEST, "-n", "short", "rs,pods"), what="no pods left")
    lab.kubectl(WEST, "delete", "namespace", "short", "--timeout=30s")
    assert "NotFound" in lab.kubectl(WEST, "get", "namespace", "short", check=False)


def test_a_lab_heals_and_leaves_nothing(tmp_path):
    lab = start(tmp_path / "lab", clusters="solo")
    try:
        state = json.loads(lab.isthmus("lab", "status", "-o", "json"))
        (cluster,) = state["clusters"]
        for process in cluster["processes"].values():
            os.kill(process["pid"], signal.SIGKILL)
        lab.wait(
            lambda: all(
                process["restarts"] and process["pid"]
                for process in json.loads(lab.isthmus("lab", "status", "-o", "json"))["clusters"][0][
                    "processes"
                ].values()
            ),
            what="both processes restarted",
        )
        lab.isthmus("lab", "up", "--clusters", "solo")
        held = {process.pid: processes.start_time(process.pid) for process in processes.inside(state["pid"])}
        os.kill(state["pid"], signal.SIGKILL)
        lab.wait(
            lambda: not any(processes.alive(*each) for each in held.items()), what="every process gone", timeout=10
        )
        lab.isthmus("lab", "up", "--clusters", "solo")
        assert json.loads(lab.isthmus("lab", "status", "-o", "json"))["clusters"][0]["server"] == cluster["server"]
    finally:
        lab.isthmus("lab", "down")
    assert not lab.path.exists()
