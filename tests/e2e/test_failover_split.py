"""The tutorial's failover: with its TrafficSplit, losing every local backend costs nobody an answer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import inside
from tests.e2e.loading import Running, enough, lasting, load
from tests.lab_fixture import EAST, WEST, Lab

import isthmus.cli
from isthmus import names

pytestmark = pytest.mark.lab

EXAMPLES = Path(isthmus.cli.__file__).with_name("examples")
LINKED = "linkerd-cluster-west"
RATE = 500.0
CONNECTIONS = 8
LONGEST_GAP = 2000.0
"""Milliseconds that one request may take while the traffic moves to another cluster."""
LONGEST_SILENCE = 3000.0
"""The same when nobody says no: a ping is not answered, nor a connection accepted, before west is asked."""

SPLIT = """\
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata:
  name: backend-split
  namespace: default
spec:
  service: backend
  backends:
  - service: backend
    weight: 100
  - service: backend-cluster-west
    weight: 0
"""

FLAPPING = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: flapping}
spec:
  selector: {matchLabels: {app: flapping}}
  template:
    metadata:
      labels: {app: flapping}
      annotations: {linkerd.io/inject: enabled}
    spec:
      containers:
      - name: backend
        image: your-registry/backend:latest
        readinessProbe:
          exec: {command: [sh, -c, "[ $(( $(date +%s) / 2 % 2 )) = 0 ]"]}
          periodSeconds: 1
          failureThreshold: 1
---
apiVersion: v1
kind: Service
metadata: {name: flapping}
spec:
  selector: {app: flapping}
  ports: [{port: 8080}]
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: flapping}
spec:
  service: flapping
  backends: [{service: flapping, weight: 1}, {service: backend-cluster-west, weight: 0}]
"""
MIDWAY = 3
"""So many half seconds at least are neither here nor there while traffic comes back."""


@pytest.fixture(scope="module")
def both(mesh: Lab) -> Iterator[Lab]:
    """East is linked to west, too, and has a frontend; west has a backend, too."""
    mesh.kubectl(WEST, "apply", "-f", str(EXAMPLES / "backend.yaml"))
    mesh.kubectl(EAST, "apply", "-f", str(EXAMPLES / "frontend.yaml"))
    mesh.apply(EAST, mesh.linkerd(WEST, "multicluster", "link", "--cluster-name", "cluster-west"))
    for cluster, deployment in ((WEST, "backend"), (EAST, "frontend")):
        mesh.kubectl(cluster, "rollout", "status", f"deploy/{deployment}", "--timeout", "60s")
    mirror = ("get", "service", "backend-cluster-west", "--ignore-not-found")
    mesh.wait(lambda: mesh.kubectl(EAST, *mirror), what="a mirror in east")
    yield mesh
    mesh.kubectl(EAST, "-n", "linkerd-multicluster", "delete", "link", LINKED, "--timeout", "60s")
    mesh.kubectl(EAST, "-n", "linkerd-multicluster", "delete", "secret", "cluster-credentials-cluster-west")
    mesh.kubectl(EAST, "delete", "-f", str(EXAMPLES / "frontend.yaml"))
    mesh.kubectl(WEST, "delete", "-f", str(EXAMPLES / "backend.yaml"))


@pytest.fixture
def split(both: Lab) -> Iterator[Lab]:
    both.apply(EAST, SPLIT)
    both.wait(lambda: {entry["priority"] for entry in endpoints(both)} == {0, 1}, what="a standby that is known")
    yield both
    both.kubectl(EAST, "delete", "trafficsplit", "backend-split")
    both.kubectl(EAST, "scale", "deploy/backend", "--replicas", "3")
    both.kubectl(EAST, "rollout", "status", "deploy/backend", "--timeout", "60s")


def test_without_local_backends_the_other_cluster_answers_and_with_them_they_do_again(split: Lab) -> None:
    before, standbys = backends(split, EAST), backends(split, WEST)
    with lasting(split, "backend", connections=CONNECTIONS, rate=RATE, cluster=EAST) as running:
        running.answered(1000)
        split.kubectl(EAST, "scale", "deploy/backend", "--replicas", "0")
        split.wait(lambda: who(split) in standbys, what="west answers")
        split.wait(lambda: not backends(split, EAST), what="east's backends are gone")
        split.kubectl(EAST, "scale", "deploy/backend", "--replicas", "3")
        split.kubectl(EAST, "rollout", "status", "deploy/backend", "--timeout", "60s")
        after = backends(split, EAST)
        split.wait(lambda: answering(split) == after, what="east answers alone")
        result = enough(split, running, cluster=EAST)
    print(f"scaled to 0 and back: {result}")
    assert result["failed"] == 0, result["failures"]
    assert result["slowest_ms"] < LONGEST_GAP
    assert result["pods"].keys() == before | standbys | after, "each of them had its time, and nobody else"


def test_kill_9_of_every_local_backend_costs_no_get(split: Lab) -> None:
    local, standbys = split.get(EAST, "pods", "-l", "app=backend"), backends(split, WEST)
    targets = [number for pod in local for number in inside.processes(split, EAST, pod)]
    with lasting(split, "backend", connections=CONNECTIONS, rate=RATE, cluster=EAST) as running:
        running.answered(1000)
        inside.kill(targets)
        split.wait(lambda: who(split) in standbys, what="west answers")
        split.wait(lambda: answering(split) == backends(split, EAST), what="east answers alone again")
        result = enough(split, running, cluster=EAST)
    shares = share_over_time(running, standbys)
    print(f"{len(targets)} processes of {len(local)} pods killed: {result}")
    print("percent answered by east, every half second:", *shares)
    assert result["failed"] == 0, result["failures"]
    assert result["slowest_ms"] < LONGEST_GAP
    assert sum(result["pods"].get(pod, 0) for pod in standbys) > 0
    back = shares[shares.index(min(shares)) :]
    assert len([share for share in back if 10 < share < 90]) >= MIDWAY, "it comes back step by step"


def test_a_rolling_update_sends_nothing_to_the_standby(split: Lab) -> None:
    before, standbys = backends(split, EAST), backends(split, WEST)
    with lasting(split, "backend", connections=CONNECTIONS, rate=RATE, cluster=EAST) as running:
        running.answered(200)
        split.kubectl(EAST, "rollout", "restart", "deploy/backend")
        split.kubectl(EAST, "rollout", "status", "deploy/backend", "--timeout", "60s")
        result = enough(split, running, cluster=EAST)
    print(f"rolled over: {result['pods']}, failed: {result['failed']}")
    assert result["failed"] == 0, result["failures"]
    assert result["pods"].keys() & before
    assert result["pods"].keys() - before, "the new ones answered, too"
    assert not result["pods"].keys() & standbys


def test_a_backend_that_is_ready_now_and_then_fails_no_request(split: Lab) -> None:
    split.apply(EAST, FLAPPING)
    try:
        split.wait(lambda: "backend" in who(split, "flapping"), what="somebody answers for it")
        with lasting(split, "flapping", connections=CONNECTIONS, rate=RATE, cluster=EAST) as running:
            for ready in ("true", "false") * 2:
                split.wait(lambda ready=ready: readiness(split) == ready, what=f"ready: {ready}")
            result = enough(split, running, cluster=EAST)
        shares = share_over_time(running, backends(split, WEST))
        print("percent answered by what flaps, every half second:", *shares)
        assert result["failed"] == 0, result["failures"]
        assert result["connections"] == CONNECTIONS, "no client was disconnected"
        assert sum(result["pods"].get(pod, 0) for pod in backends(split, WEST)) > 0
    finally:
        split.kubectl(EAST, "delete", "deploy/flapping", "svc/flapping", "trafficsplit/flapping")


def test_silence_of_every_local_backend_costs_no_get(split: Lab) -> None:
    """Nothing is refused, nothing is closed, nothing answers."""
    local, standbys = split.get(EAST, "pods", "-l", "app=backend"), backends(split, WEST)
    with load(split, "backend", connections=CONNECTIONS, requests=1, seconds=8, rate=RATE, cluster=EAST) as running:
        running.answered(1000)
        for pod in local:
            silence(split, pod, "add")
        try:
            split.wait(lambda: who(split) in standbys, what="west answers")
        finally:
            for pod in local:
                silence(split, pod, "del")
        result = running.finish()
    print(f"{len(local)} pods silenced: {result}")
    assert result["failed"] == 0, result["failures"]
    assert result["slowest_ms"] < LONGEST_SILENCE
    split.wait(lambda: answering(split) == backends(split, EAST), what="east answers again")


def test_a_split_that_comes_and_goes_under_load_costs_no_get(both: Lab) -> None:
    shared = SPLIT.replace("weight: 0", "weight: 100")
    local, remote = backends(both, EAST), backends(both, WEST)
    with load(both, "backend", connections=CONNECTIONS, requests=1, seconds=8, rate=RATE, cluster=EAST) as running:
        running.answered(200)
        for text, expected in ((SPLIT, local), (shared, local | remote), (SPLIT, local)):
            both.apply(EAST, text)
            both.wait(lambda expected=expected: answering(both) == expected, what=f"{expected} answer")
        both.kubectl(EAST, "delete", "trafficsplit", "backend-split")
        result = running.finish()
    print(f"split applied, changed twice, deleted: {result}")
    assert result["failed"] == 0, result["failures"]
    assert result["pods"].keys() == local | remote


def test_a_control_plane_that_starts_anew_takes_no_standby_away(split: Lab) -> None:
    standbys = backends(split, WEST)
    with lasting(split, "backend", connections=CONNECTIONS, rate=RATE, cluster=EAST) as running:
        running.answered(200)
        restart_destination(split)
        split.kubectl(EAST, "scale", "deploy/backend", "--replicas", "0")
        split.wait(lambda: who(split) in standbys, what="west answers")
        result = enough(split, running, cluster=EAST)
    print(f"control plane restarted, then scaled to 0: {result}")
    assert result["failed"] == 0, result["failures"]


def test_nor_does_one_that_starts_while_the_other_cluster_cannot_be_asked(split: Lab) -> None:
    """It has the word of the one before it."""
    standbys = backends(split, WEST)
    split.wait(lambda: "cluster-west_default_backend" in remembered(split), what="west's backends are remembered")
    with lasting(split, "backend", connections=CONNECTIONS, rate=RATE, cluster=EAST) as running:
        running.answered(200)
        with split.broken("apiserver", WEST, "kill"):
            restart_destination(split)
            split.wait(lambda: {entry["priority"] for entry in endpoints(split)} == {0, 1}, what="a standby is known")
            split.kubectl(EAST, "scale", "deploy/backend", "--replicas", "0")
            split.wait(lambda: who(split) in standbys, what="west answers")
        result = enough(split, running, cluster=EAST)
    print(f"control plane restarted with west's API server killed, then scaled to 0: {result}")
    assert result["failed"] == 0, result["failures"]
    assert result["pods"].keys() & standbys


def test_a_split_that_would_not_mean_what_it_says_is_refused(both: Lab) -> None:
    for wrong in (SPLIT.replace("weight: 100", "weight: lots"), SPLIT.replace("weight: 0", "weight: -1")):
        assert "weight" in both.kubectl(EAST, "apply", "-f", "-", stdin=wrong, check=False)
    for requests in (SPLIT + "  matches: [{kind: HTTPRouteGroup, name: gets}]\n",):
        assert "spec.matches: Too many" in both.kubectl(EAST, "apply", "-f", "-", stdin=requests, check=False)
    assert both.get(EAST, "trafficsplits") == []


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4"])
def test_every_published_version_shares_the_traffic(both: Lab, version: str) -> None:
    text = SPLIT.replace("v1alpha4", version).replace("weight: 0", "weight: 100")
    if version == "v1alpha1":
        text = text.replace("weight: 100", "weight: 500m")
    both.apply(EAST, text)
    try:
        both.wait(lambda: answering(both) == backends(both, EAST) | backends(both, WEST), what="both answer")
    finally:
        both.kubectl(EAST, "delete", "trafficsplit", "backend-split")


# --- words --------------------------------------------------------------------------------------------------------
def backends(lab: Lab, cluster: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in lab.get(cluster, "pods", "-l", "app=backend")}


def endpoints(lab: Lab) -> list[dict[str, Any]]:
    """As proxies in east have them; asking makes sure that one of them does."""
    who(lab)
    name = "backend.default.svc.cluster.local:8080"
    found: list[dict[str, Any]] = json.loads(lab.linkerd(EAST, "diagnostics", "endpoints", name, "-o", "json"))
    return found


def remembered(lab: Lab) -> dict[str, str]:
    """What east's destination wrote down of what linked clusters said."""
    name = names.REMOTE_ENDPOINTS_CONFIG_MAP
    found: dict[str, str] = lab.get(EAST, "configmap", name, "-n", "linkerd").get("binaryData", {})
    return found


def restart_destination(lab: Lab) -> None:
    lab.kubectl(EAST, "-n", "linkerd", "rollout", "restart", "deploy/linkerd-destination")
    lab.kubectl(EAST, "-n", "linkerd", "rollout", "status", "deploy/linkerd-destination", "--timeout", "60s")


def readiness(lab: Lab) -> str:
    words = ("get", "endpointslice", "-l", "kubernetes.io/service-name=flapping")
    return lab.kubectl(EAST, *words, "-o", "jsonpath={.items[0].endpoints[0].conditions.ready}")


def share_over_time(running: Running, standbys: set[str]) -> list[int]:
    """Percent of the requests of each half second that were not answered by standbys."""
    found = []
    for counts in filter(None, running.timeline):
        elsewhere = sum(counts.get(pod, 0) for pod in standbys)
        found.append(round(100 * (1 - elsewhere / sum(counts.values()))))
    return found


def who(lab: Lab, host: str = "backend") -> str:
    """The pod that answers a request from east."""
    command = ("curl", "-sS", "--fail-with-body", "--max-time", "5", f"http://{host}:8080/health")
    return str(json.loads(lab.exec(EAST, "deploy/frontend", *command, container="frontend"))["pod"])


def silence(lab: Lab, pod: dict[str, Any], change: str) -> None:
    """Have the node drop (`add`), or no longer drop (`del`), what is sent to the pod."""
    lab.node(EAST, "ip", "route", change, "blackhole", f"{pod['status']['podIP']}/32")


def answering(lab: Lab) -> set[str]:
    with load(lab, "backend", connections=2, requests=60, cluster=EAST) as running:
        return set(running.finish()["pods"])
