"""A lab breaks as it is told to, says so, and is well again when it is healed."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.lab_fixture import EAST, WEST, Lab

pytestmark = pytest.mark.lab

EAST_API = "https://172.30.0.11:6443"
DELAY = 0.15
RATE = 4e6
BODY = 250_000
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "victim", "namespace": "default", "labels": {"app": "victim"}},
    "spec": {
        "containers": [
            {
                "name": "web",
                "image": "debian",
                "workingDir": "/tmp",
                "command": ["sh", "-c", f"head -c {BODY} /dev/zero > body; exec python3 -m http.server 8080"],
                "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
            }
        ],
        "terminationGracePeriodSeconds": 0,
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "victim", "namespace": "default"},
    "spec": {"type": "NodePort", "selector": {"app": "victim"}, "ports": [{"port": 8080}]},
}
TOLD = {"code": "response_code", "connected": "time_connect", "took": "time_total", "size": "size_download"}


def address(lab: Lab) -> str:
    """Of the pod, which gets another one when its node starts anew, and has none for a moment before."""
    found: str = lab.get(EAST, "pod", "victim")["status"].get("podIP", "")
    return found


@pytest.fixture
def victim(lab: Lab) -> Iterator[str]:
    """A pod in east: its address."""
    lab.apply(EAST, POD)
    lab.kubectl(EAST, "wait", "pod/victim", "--for", "condition=Ready", "--timeout", "60s")
    yield address(lab)
    lab.kubectl(EAST, "delete", "pod", "victim")


def call(lab: Lab, cluster: str, url: str, most: float = 10.0) -> dict[str, float]:
    """One request from a node, as curl saw it: `code` (0: no answer), and when it was connected and done."""
    told = json.dumps({name: f"%{{{variable}}}" for name, variable in TOLD.items()})
    words = ("curl", "-ks", "-o", "/dev/null", "-m", str(most), "-w", told, url)
    return {name: float(text) for name, text in json.loads(lab.node(cluster, *words, check=False)).items()}


def faults(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.isthmus("lab", "status", "-o", "json"))["faults"]
    return found


def restarts(lab: Lab) -> int:
    count: int = lab.get(EAST, "pod", "victim")["status"]["containerStatuses"][0]["restartCount"]
    return count


def test_a_delay_is_seen_once_each_way_and_only_between_the_two(lab: Lab) -> None:
    with lab.wan("--delay", f"{DELAY * 1000:g}ms"):
        far = call(lab, WEST, f"{EAST_API}/version")
        near = call(lab, EAST, f"{EAST_API}/version")
        shown = lab.isthmus("lab", "status")
    print(f"connected in {far['connected'] * 1000:.1f} ms with {DELAY * 1000:g} ms each way")
    assert far["code"] == near["code"] == 200
    assert far["connected"] >= 2 * DELAY
    assert near["connected"] < DELAY
    assert f"network {EAST} - {WEST}: delay 150ms" in shown
    assert call(lab, WEST, f"{EAST_API}/version")["connected"] < DELAY


def test_a_limited_network_carries_no_more_than_its_rate(lab: Lab, victim: str) -> None:
    lab.apply(EAST, SERVICE)
    port = lab.get(EAST, "service", "victim")["spec"]["ports"][0]["nodePort"]
    url = f"http://172.30.0.11:{port}/body"
    lab.wait(lambda: call(lab, WEST, url)["code"] == 200, what="the file to be served")
    with lab.wan("--rate", f"{RATE / 1e6:g}mbit"):
        got = call(lab, WEST, url, most=30)
    lab.kubectl(EAST, "delete", "service", "victim")
    print(f"{got['size']:.0f} bytes in {got['took']:.2f} s at {RATE / 1e6:g} mbit/s")
    assert got["size"] == BODY
    assert got["took"] >= 0.8 * BODY * 8 / RATE


def test_nothing_crosses_a_partition_until_it_is_healed(lab: Lab) -> None:
    with lab.wan("--partition"):
        lab.isthmus("lab", "wan", "--between", f"{WEST},{EAST}", "--partition")
        assert len(faults(lab)["wan"]) == 1
        assert call(lab, WEST, f"{EAST_API}/version", most=1)["code"] == 0
        assert call(lab, EAST, f"{EAST_API}/version")["code"] == 200
    assert call(lab, WEST, f"{EAST_API}/version")["code"] == 200
    assert faults(lab) == {"wan": [], "broken": []}


def test_an_api_server_that_is_killed_stays_down_until_it_is_healed(lab: Lab) -> None:
    with lab.broken("apiserver", EAST, "kill"):
        lab.wait(lambda: "down" in lab.isthmus("lab", "status"), what="the lab to say that it is down")
        assert "reset by peer" in lab.kubectl(EAST, "version", check=False)
        assert "Server Version" in lab.kubectl(WEST, "version")
    lab.wait(lambda: "Server Version" in lab.kubectl(EAST, "version", check=False), what="the API server to be back")


def test_an_api_server_that_hangs_answers_when_it_is_healed(lab: Lab) -> None:
    with lab.broken("apiserver", EAST, "hang"):
        asked = lab.popen_node(WEST, "curl", "-ks", "-m", "60", f"{EAST_API}/version")
        assert call(lab, WEST, f"{EAST_API}/version", most=1)["code"] == 0
        assert asked.poll() is None
    said, _ = asked.communicate(timeout=30)
    assert "gitVersion" in said


def test_a_pod_that_is_cut_off_or_hangs_is_the_same_pod_when_it_is_healed(lab: Lab, victim: str) -> None:
    url = f"http://{victim}:8080/"
    for how in ("blackhole", "hang"):
        with lab.broken("pod", f"{EAST}/victim", how):
            assert call(lab, EAST, url, most=1)["code"] == 0, how
            assert f"pod {EAST}/default/victim ({how})" in lab.isthmus("lab", "status")
        assert call(lab, EAST, url)["code"] == 200, how
    assert restarts(lab) == 0


def test_the_programs_of_a_killed_pod_come_back_by_themselves(lab: Lab, victim: str) -> None:
    lab.isthmus("lab", "break", "pod", f"{EAST}/default/victim", "--kill")
    lab.wait(lambda: restarts(lab) == 1, what="the restart to be counted")
    lab.wait(lambda: call(lab, EAST, f"http://{victim}:8080/")["code"] == 200, what="the pod to answer")
    assert not faults(lab)["broken"]


def test_a_cluster_that_is_cut_off_is_well_inside_and_dead_with_its_pods_when_killed(lab: Lab, victim: str) -> None:
    url = f"http://{victim}:8080/"
    with lab.broken("cluster", EAST, "blackhole"):
        assert call(lab, WEST, f"{EAST_API}/version", most=1)["code"] == 0
        assert call(lab, EAST, url)["code"] == 200
    with lab.broken("cluster", EAST, "kill"):
        lab.wait(lambda: call(lab, EAST, url, most=1)["code"] == 0, what="its pods to be dead")
        assert call(lab, WEST, f"{EAST_API}/version", most=1)["code"] == 0
    began = time.monotonic()
    lab.wait(lambda: "victim" in lab.kubectl(EAST, "get", "pods", check=False), what="the API server to be back")
    lab.wait(lambda: call(lab, EAST, f"http://{address(lab)}:8080/", most=1)["code"] == 200, what="the pod to run")
    print(f"the pod answers {time.monotonic() - began:.1f} s after its cluster was healed")


def test_what_is_not_there_is_not_broken(lab: Lab) -> None:
    assert "no pod 'nobody'" in lab.isthmus("lab", "break", "pod", f"{EAST}/nobody", "--kill", check=False)
    assert "no cluster named 'mars'" in lab.isthmus("lab", "break", "node", "mars", "--kill", check=False)
    assert json.loads(lab.isthmus("lab", "break", "node", EAST, "--heal", "-o", "json")) == {"wan": [], "broken": []}
