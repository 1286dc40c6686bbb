"""The proxy container as a pod has it: real agent, openssl and Envoy, in namespaces of their own (see pod.py)."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BUNDLED = Path(__file__).parents[2] / ".envoy/envoy/_bin/envoy"
ENVOY = os.environ.get("ISTHMUS_ENVOY") or shutil.which("envoy") or (str(BUNDLED) if BUNDLED.exists() else None)

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.skipif(ENVOY is None, reason="no Envoy binary: set ISTHMUS_ENVOY"),
    pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare"),
]


def pod(scenario: str) -> dict[str, Any]:
    """What was seen in the pod."""
    command = ["unshare", "-Urnm", "--kill-child", sys.executable, str(Path(__file__).with_name("pod.py")), scenario]
    environment = os.environ | {"ISTHMUS_ENVOY": str(ENVOY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


@pytest.fixture(scope="module")
def life() -> dict[str, Any]:
    return pod("a whole life")


def test_while_it_waits_it_lives_and_says_what_for(life):
    assert life["before"] == [503, "waiting for a certificate from the identity service\n"]
    assert life["live before"] == 200
    assert "cannot be asked: it refuses connections" in life["log"]


def test_its_certificate_names_the_pods_account(life):
    assert life["uris"] == ["spiffe://td.example/ns/shop/sa/web"]


def test_the_key_is_where_envoy_looks_and_nowhere_else(life):
    assert life["files with a key"] == ["workload.json"]
    assert life["secret mode"] == "0o600"
    assert "DEBUG" in life["log"].upper()
    assert "PRIVATE KEY" not in life["log"]


def test_a_node_can_have_any_number_of_proxies(life):
    """Kernels lend a user 128 inotify instances, and all proxies of a node have one user."""
    assert life["inotify"] == []


def test_slow_and_broken_clients_do_not_keep_others_waiting(life):
    assert life["stuck"] == 20
    assert life["ready despite them"] == 200
    assert life["rubbish"][:2] == ["", ""]


def test_certificates_are_renewed_and_envoy_takes_them(life):
    assert life["log"].count("has a certificate until") >= 3
    assert life["taken by Envoy"] >= 3
    assert life["still ready"] == 200


def test_metrics_are_the_agents_and_envoys(life):
    assert life["expires"] > 1_700_000_000
    assert life["envoy metrics"]


def test_only_the_pod_itself_can_shut_it_down(life):
    assert life["shutdown from elsewhere"] == [403, "only from within the pod\n"]
    assert life["shutdown by GET"] == 405
    assert life["shutdown"] == 200
    assert life["exit"] == 0
    assert "the proxy has stopped" in life["log"]


def test_it_stays_small_beside_envoy(life):
    """Memory of its own; what it shares with every other Python on the node is not counted."""
    assert life["private kB"] <= 8 * 1024


def test_when_envoy_dies_the_container_fails_so_that_it_is_restarted():
    seen = pod("Envoy dies")
    assert seen["exit"] == 1
    assert "Envoy was ended by signal 9" in seen["log"]


def test_it_can_be_stopped_while_it_waits():
    assert pod("terminated while waiting")["exit"] == 0
