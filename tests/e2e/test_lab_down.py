"""A lab of its own: up is idempotent, what is killed comes back, and after `down` nothing of it is left anywhere."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab_fixture import Lab, environment_of

from isthmus.lab import processes

pytestmark = pytest.mark.lab

CLUSTER = "alone"
POD = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [{"name": "web", "image": "your-registry/backend:latest"}],
                "terminationGracePeriodSeconds": 1,
            },
        },
    },
}


def traces(path: Path) -> dict[str, Any]:
    """What a lab in this directory could leave on the machine."""
    words = {
        "namespaces": ("ip", "netns", "list"),
        "interfaces": ("ip", "-brief", "link"),
        "rules": ("nft", "list", "tables"),
    }
    seen: dict[str, Any] = {}
    for what, command in words.items():
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        seen[what] = {line.split()[0] if what == "interfaces" else line for line in done.stdout.splitlines()}
    seen["mounts"] = [line for line in Path("/proc/mounts").read_text().splitlines() if str(path) in line]
    seen["processes"] = [
        (entry.name, command)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and str(path) in (command := _command(entry))
    ]
    seen["directory"] = path.exists()
    return seen


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def up(path: Path) -> Lab:
    lab = Lab(path, dict(os.environ))
    lab.isthmus("lab", "up", "--clusters", CLUSTER)
    lab.environment |= environment_of(path)
    return lab


def status(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.isthmus("lab", "status", "-o", "json"))
    return found


def process(lab: Lab, name: str) -> dict[str, Any]:
    found: dict[str, Any] = status(lab)["clusters"][0]["processes"][name]
    return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "lab"
    yield path
    Lab(path, dict(os.environ)).isthmus("lab", "down", check=False)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One small cluster with one pod, for the tests that break it and see it come back."""
    path = tmp_path_factory.mktemp("alone") / "lab"
    try:
        lab = up(path)
        lab.apply(CLUSTER, POD)
        lab.kubectl(CLUSTER, "rollout", "status", "deployment/web", "--timeout", "60s")
        yield lab
    finally:
        Lab(path, dict(os.environ)).isthmus("lab", "down", check=False)


def pods(lab: Lab) -> dict[str, int]:
    return {
        item["metadata"]["uid"]: sum(state["restartCount"] for state in item["status"]["containerStatuses"])
        for item in lab.get(CLUSTER, "pods")
    }


def ready(lab: Lab) -> None:
    """The pod runs, and answers at its address."""
    lab.kubectl(CLUSTER, "rollout", "status", "deployment/web", "--timeout", "60s")
    lab.kubectl(CLUSTER, "wait", "pod", "-l", "app=web", "--for", "condition=Ready", "--timeout", "60s")
    (address,) = {item["status"]["podIP"] for item in lab.get(CLUSTER, "pods") if running(item)}
    lab.wait(
        lambda: "backend" in lab.node(CLUSTER, "curl", "-s", "--max-time", "2", f"http://{address}:8080/", check=False),
        what="the pod to answer",
    )


def running(pod: dict[str, Any]) -> bool:
    return pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]


def test_up_again_changes_nothing(alone: Lab) -> None:
    before, config, known = status(alone), (alone.path / "kubeconfig").read_text(), pods(alone)
    printed = alone.isthmus("lab", "up", "--clusters", CLUSTER)
    assert f"The lab in {alone.path} runs already." in printed
    after = status(alone)
    assert after == before
    assert (alone.path / "kubeconfig").read_text() == config
    assert pods(alone) == known
    text = alone.isthmus("lab", "status")
    assert f"{CLUSTER}  {before['clusters'][0]['server']}" in text
    assert "1/1 ready" in text


def test_up_with_other_clusters_is_refused_and_changes_nothing(alone: Lab) -> None:
    before = status(alone)
    told = alone.isthmus("lab", "up", "--clusters", "one,two", check=False)
    assert "isthmus lab down" in told
    assert status(alone) == before


@pytest.mark.parametrize("name", ["apiserver", "node"])
def test_a_process_that_is_killed_is_started_again_and_pods_work(alone: Lab, name: str) -> None:
    before = process(alone, name)
    os.kill(before["pid"], signal.SIGKILL)
    began = time.monotonic()

    def again() -> bool:
        found = process(alone, name)
        return found["restarts"] == before["restarts"] + 1 and found["pid"] not in (0, before["pid"])

    alone.wait(again, what=f"another {name}")
    alone.wait(lambda: alone.kubectl(CLUSTER, "get", "pods", check=False), what="an answer of the API server")
    alone.wait(lambda: status(alone)["clusters"][0].get("pods", {}).get("ready") == 1, what="a ready pod")
    ready(alone)
    print(f"{name} killed: all well after {time.monotonic() - began:.1f} s")
    assert "signal SIGKILL" in alone.isthmus("lab", "status")
    alone.kubectl(CLUSTER, "delete", "pod", "-l", "app=web", "--wait=false")
    ready(alone)


def test_down_leaves_nothing(place: Path) -> None:
    before = traces(place)
    lab = up(place)
    lab.apply(CLUSTER, POD)
    lab.kubectl(CLUSTER, "rollout", "status", "deployment/web", "--timeout", "60s")
    assert traces(place)["processes"]
    assert "is gone" in lab.isthmus("lab", "down")
    assert traces(place) == before
    assert "There is no lab" in lab.isthmus("lab", "down")


@pytest.mark.parametrize("victim", ["the daemon", "its holder"])
def test_killing_what_holds_the_lab_ends_it_all_and_up_brings_it_back(place: Path, victim: str) -> None:
    before = traces(place)
    lab = up(place)
    server = status(lab)["clusters"][0]["server"]
    lab.apply(CLUSTER, POD)
    daemon = status(lab)["pid"]
    holder = int(Path(f"/proc/{daemon}/stat").read_text().rpartition(")")[2].split()[1])
    inside = [found.pid for found in processes.inside(daemon)]
    assert len(inside) >= 3
    os.kill(daemon if victim == "the daemon" else holder, signal.SIGKILL)
    lab.wait(lambda: not traces(place)["processes"], what="the end of every process", timeout=10)
    assert {**traces(place), "directory": False} == before
    told = lab.isthmus("lab", "status", check=False)
    assert "No lab runs in" in told
    assert "isthmus lab up" in told
    again = up(place)
    assert status(again)["clusters"][0]["server"] == server
    again.kubectl(CLUSTER, "rollout", "status", "deployment/web", "--timeout", "60s")
    again.isthmus("lab", "down")
    assert traces(place) == before


def test_a_port_that_is_taken_meanwhile_is_said(place: Path) -> None:
    import socket

    lab = up(place)
    server = status(lab)["clusters"][0]["server"]
    port = int(server.rpartition(":")[2])
    os.kill(status(lab)["pid"], signal.SIGKILL)
    lab.wait(lambda: not traces(place)["processes"], what="the end of every process", timeout=10)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        printed = lab.isthmus("lab", "up", "--clusters", CLUSTER)
        other = status(lab)["clusters"][0]["server"]
    assert other != server
    assert f"port {port} is taken" in printed
    assert f"{CLUSTER}: ready at {other}" in printed
    assert other in lab.kubectl(CLUSTER, "config", "view", "--minify")
