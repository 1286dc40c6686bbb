"""However `lab up` and a lab end, nothing of them is left, and nobody else is harmed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.lab_fixture import BIN, start

from isthmus.lab import processes
from isthmus.lab.config import LabDir, Record

pytestmark = pytest.mark.lab

UP = [str(BIN / "isthmus"), "lab", "up", "--clusters", "solo", "--dir"]


AS_ON_A_TERMINAL = ("env", "--default-signal=INT")
"""A test that runs beside others is deaf to Ctrl-C, and so would be what it starts."""


def begin(path):
    words = [*AS_ON_A_TERMINAL, *UP, str(path)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait(condition, what):
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within 20 s: {what}"
        time.sleep(0.005)
    return found


def of_this_lab(path):
    """Every process that names the lab's folder, but not the command that a test runs itself."""
    found = []
    for entry in processes.PROC.iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if str(path).encode() in words and b"isthmus.lab." in words:
            found.append(int(entry.name))
    return found


MOMENTS = {
    "before anything": lambda lab: True,
    "as its daemon starts": lambda lab: lab.daemon_log.exists(),
    "as its processes start": lambda lab: lab.read_health(),
    "while it waits": lambda lab: lab.path.exists() and (record := lab.read_record()) and record.pid,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupted_up_leaves_nothing(tmp_path, moment):
    lab = LabDir(tmp_path / "lab")
    command = begin(lab.path)
    wait(lambda: MOMENTS[moment](lab), moment)
    command.send_signal(signal.SIGINT)
    said = command.communicate(timeout=30)[0]
    assert "Traceback" not in said
    if moment != "before anything":
        assert said == f"Interrupted: what this command started in {lab.path} has ended.\n"
    wait(lambda: not of_this_lab(lab.path), "every process gone")
    assert not lab.path.exists()


@pytest.mark.parametrize("moment", list(MOMENTS)[1:])
def test_what_a_killed_up_leaves_ends_by_itself_or_by_down(tmp_path, moment):
    lab = LabDir(tmp_path / "lab")
    command = begin(lab.path)
    wait(lambda: MOMENTS[moment](lab), moment)
    command.kill()
    command.communicate(timeout=30)
    record = lab.read_record()
    if record is None or not record.pid:
        wait(lambda: not of_this_lab(lab.path), "a lab that nobody knows of gone")
    subprocess.run([str(BIN / "isthmus"), "lab", "down", "--dir", str(lab.path)], check=True, timeout=30)
    wait(lambda: not of_this_lab(lab.path), "every process gone")
    assert not lab.path.exists()


def test_of_two_ups_at_once_one_starts_the_lab_and_none_starts_another(tmp_path):
    path = tmp_path / "lab"
    commands = [begin(path) for _ in range(2)]
    said = [command.communicate(timeout=60)[0] for command in commands]
    try:
        assert "Traceback" not in "".join(said)
        assert sum(command.returncode == 0 for command in commands) >= 1
        assert all("Ready" in text or "Another `isthmus lab` command" in text for text in said)
        servers = [
            pid
            for pid in of_this_lab(path)
            if b"isthmus.lab.api" in (processes.PROC / str(pid) / "cmdline").read_bytes()
        ]
        assert len(servers) == 1
    finally:
        subprocess.run([str(BIN / "isthmus"), "lab", "down", "--dir", str(path)], check=True, timeout=30)


def test_a_process_that_has_the_labs_number_by_now_is_let_live(tmp_path):
    lab = LabDir(tmp_path / "lab")
    lab.path.mkdir()
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        lab.write_record(Record(clusters=["solo"], ports={}, pid=stranger.pid, started=1))
        subprocess.run([str(BIN / "isthmus"), "lab", "down", "--dir", str(lab.path)], check=True, timeout=30)
        assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n", timeout=10)


def test_killing_what_holds_the_lab_ends_all_of_it_and_up_goes_on_with_its_objects(tmp_path):
    lab = start(tmp_path / "lab", clusters="solo")
    try:
        lab.kubectl("solo", "create", "configmap", "kept", "--from-literal=a=b")
        held = LabDir(lab.path).read_record()
        holder = int((processes.PROC / str(held.pid) / "stat").read_text().rpartition(")")[2].split()[1])
        os.kill(holder, signal.SIGKILL)
        wait(lambda: not of_this_lab(lab.path), "every process gone")
        lab.isthmus("lab", "up", "--clusters", "solo")
        assert lab.get("solo", "configmap", "kept")["data"] == {"a": "b"}
        api = json.loads(lab.isthmus("lab", "status", "-o", "json"))["clusters"][0]["processes"]["apiserver"]["pid"]
        os.kill(api, signal.SIGKILL)
        assert lab.get("solo", "configmap", "kept")["data"] == {"a": "b"}
    finally:
        lab.isthmus("lab", "down")
    assert not lab.path.exists()


def test_a_full_disk_is_a_sentence(tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    script = f"mount -t tmpfs -o size=40k tmpfs {full} && exec {' '.join(UP)} {full}/lab"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert not of_this_lab(full)
