"""Real containers: who they are, what they see, and that nothing of them outlives the node."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.lab.node import containers

SCRIPT = """
mount -t tmpfs tmpfs /run
"$0" "$1" "$2"
while pgrep -f 's[l]eep 4321' >/dev/null && [ "$((tries += 1))" -lt 100 ]; do sleep 0.02; done
pgrep -fc 's[l]eep 4321'
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    if os.geteuid():
        pytest.skip("needs root")
    folder = tmp_path_factory.mktemp("containers")
    command = ["unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
    program = Path(__file__).with_name("in_namespaces.py")
    done = subprocess.run(
        [*command, "sh", "-c", SCRIPT, sys.executable, str(program), str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    return json.loads(lines[0]) | {"left": int(lines[-1])}


@pytest.mark.lab
def test_a_container_is_who_its_pod_says_in_a_place_of_its_own(seen):
    uid, hostname, folder, tool, _, capabilities, *address = seen["user"]
    assert (uid, hostname, folder, tool) == ("2102", "pod-1", "/tmp", "/isthmus/bin/linkerd-await")
    assert int(capabilities, 16) == 1 << 12  # CAP_NET_ADMIN
    assert "10.244.0.3/32" in address


@pytest.mark.lab
def test_any_user_can_run_this_package(seen):
    assert seen["python"] == ["ok"]


@pytest.mark.lab
def test_this_machine_is_read_only(seen):
    assert seen["read only"] == ["refused"]


@pytest.mark.lab
def test_a_program_can_be_run_in_a_container_with_a_terminal(seen):
    assert seen["exec"] == ["/dev/pts/0", "pod-4", 3]
    assert seen["missing program"] == 127
    assert seen["terminal"] == [True, 4]


@pytest.mark.lab
def test_ends_are_told_apart(seen):
    assert seen["listens"] == [False, True]
    assert (seen["term"], seen["kill"]) == (7, 137)


@pytest.mark.lab
def test_a_pods_network_is_made_again_while_something_still_runs_in_the_old_one(seen):
    assert "10.244.0.6/32" in seen["made again"]


def test_nothing_outlives_the_node(seen):
    assert seen["left"] == 0


@pytest.mark.parametrize(("mask", "listens"), [("0000000000004000", True), ("0000000000000000", False)])
def test_who_listens_to_sigterm(mask, listens):
    assert containers.listens_to_term(1, lambda pid: f"Name:\tx\nSigCgt:\t{mask}\n") is listens
