"""What `isthmus lab` says and prepares before, and without, running anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from isthmus.cli.lab import lab as command
from isthmus.lab import environment, preflight, processes, user_images
from isthmus.lab.config import LabDir, LabError, Record, default_dir
from isthmus.lab.topology import clusters


def invoke(*words):
    return CliRunner().invoke(command, list(words))


def test_the_lab_lives_where_the_environment_says(tmp_path):
    assert default_dir({"ISTHMUS_LAB_DIR": "/x"}).as_posix() == "/x"
    assert default_dir({"XDG_STATE_HOME": "/state"}).as_posix() == "/state/isthmus/lab"
    assert default_dir({}).parts[-4:] == (".local", "state", "isthmus", "lab")


@pytest.mark.parametrize("words", [["status"], ["env"], ["node", "x", "true"], ["image", "list"]])
def test_commands_that_need_a_lab_say_how_to_start_one(tmp_path, words):
    done = (
        invoke(*words, "--dir", str(tmp_path))
        if words[0] != "node"
        else invoke("node", "--dir", str(tmp_path), *words[1:])
    )
    assert (done.exit_code, done.exception.__class__) == (1, SystemExit)
    assert done.output == f"No lab runs in {tmp_path}: start one with `isthmus lab up`, or name its --dir.\n"


@pytest.mark.parametrize(
    ("names", "complaint"), [("East", "cannot be a cluster's name"), ("a,a", "named twice"), (",", "at least one")]
)
def test_up_refuses_bad_names_with_one_sentence(tmp_path, names, complaint):
    done = invoke("up", "--clusters", names, "--dir", str(tmp_path / "lab"))
    assert done.exit_code == 1
    assert complaint in done.output
    assert len(done.output.splitlines()) == 1
    assert not (tmp_path / "lab").exists()


def test_down_without_a_lab_is_harmless(tmp_path):
    done = invoke("down", "--dir", str(tmp_path / "none"))
    assert (done.exit_code, done.output) == (0, f"There is no lab in {tmp_path / 'none'}.\n")


def test_down_never_removes_what_is_no_lab(tmp_path):
    (tmp_path / "precious").write_text("mine")
    done = invoke("down", "--dir", str(tmp_path))
    assert done.exit_code == 1
    assert (tmp_path / "precious").exists()


def test_up_never_moves_into_a_folder_that_down_would_remove(tmp_path):
    (tmp_path / "precious").write_text("mine")
    done = invoke("up", "--dir", str(tmp_path))
    assert done.exit_code == 1
    assert "such as precious" in done.output
    assert [entry.name for entry in tmp_path.iterdir()] == ["precious"]


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path):
    (tmp_path / "f").write_text("")
    done = invoke("up", "--dir", str(tmp_path / "f" / "l"))
    assert (done.exit_code, done.exception.__class__) == (1, SystemExit)
    assert "Not a directory. Choose another --dir" in done.output


def test_down_removes_what_a_lab_left_that_died(tmp_path):
    lab = LabDir(tmp_path / "lab")
    lab.path.mkdir()
    lab.write_record(Record(clusters=["a"], ports={"a": 1}, pid=os.getpid(), started=1))
    assert invoke("down", "--dir", str(lab.path)).exit_code == 0
    assert not lab.path.exists()


def test_a_recycled_pid_is_not_taken_for_the_lab():
    started = processes.start_time(os.getpid())
    assert processes.alive(os.getpid(), started)
    assert not processes.alive(os.getpid(), started + 1)
    assert not processes.alive(0, 0)


def test_a_dead_process_is_not_alive_while_nobody_has_collected_it():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = processes.start_time(child.pid)
    assert processes.alive(child.pid, started)
    assert processes.end(child.pid, timeout=10)
    assert not processes.alive(child.pid, started)
    child.wait()
    child.stdin.close()


def test_only_one_command_works_on_a_lab_at_a_time(tmp_path):
    lab = LabDir(tmp_path)
    with lab.locked(), pytest.raises(LabError, match="Another"), lab.locked():
        pass
    with lab.locked():
        pass


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / "lab.json").write_text("{")
    with pytest.raises(LabError, match=r"lab\.json is damaged"):
        LabDir(tmp_path).read_record()


def test_a_place_where_no_lab_can_be_is_refused_beforehand(tmp_path):
    run = Path("/run/lab")
    assert any("under /run" in problem for problem in preflight.problems(run, clusters(("a",), run)))
    deep = tmp_path / ("d" * 100)
    assert any("too long" in problem for problem in preflight.problems(deep, clusters(("a",), deep)))


def test_missing_programs_are_listed_with_their_packages(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (problem,) = [found for found in preflight.problems(tmp_path, ()) if "not found" in found]
    assert "`apt-get install hostname iproute2 mount nftables procps util-linux`" in problem


def test_the_shell_gets_the_labs_kubectl_first_and_only_once(tmp_path):
    lab = LabDir(tmp_path / "it's")
    exports = environment.exports(lab, environment.exports(lab, {"PATH": f"/usr/bin:{lab.bin}"}))
    assert exports["PATH"] == f"{lab.bin}:/usr/bin:{environment.installation()}"
    lines = environment.export_lines(exports)
    shown = subprocess.run(["sh", "-c", f'{lines}echo "$KUBECONFIG"'], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == str(lab.kubeconfig)


def test_a_virtual_environment_that_is_active_stays_where_it_is(tmp_path):
    lab = LabDir(tmp_path / "lab")
    active = environment.exports(lab, {"PATH": f"{environment.installation()}:/usr/bin"})
    assert active["PATH"] == f"{lab.bin}:{environment.installation()}:/usr/bin"


def kubectl(directory, version):
    directory.mkdir()
    program = directory / "kubectl"
    program.write_text(f"#!/bin/sh\necho 'Client Version: v{version}'\n")
    program.chmod(0o755)
    return program


def test_the_systems_kubectl_is_used_when_it_is_recent_enough(tmp_path):
    recent, old = kubectl(tmp_path / "recent", "1.33.1-dispatcher"), kubectl(tmp_path / "old", "1.20.0")
    assert environment.find_kubectl({"PATH": str(recent.parent)}) == recent
    assert environment.find_kubectl({"PATH": str(old.parent)}) != old
    assert environment.find_kubectl({"PATH": str(recent.parent)}, without=(recent.parent,)) != recent


def test_images_are_added_and_forgotten_by_name_whatever_the_tag(tmp_path):
    assert user_images.add(tmp_path, "shop/cart:v2", ["/bin/cart", "-p", "1"]) == "shop/cart"
    assert user_images.read(tmp_path) == {"shop/cart": {"entrypoint": ["/bin/cart", "-p", "1"]}}
    user_images.remove(tmp_path, "shop/cart:v3")
    with pytest.raises(LabError, match="added: none"):
        user_images.remove(tmp_path, "shop/cart")


def test_every_command_has_help_with_an_example():
    words = [
        [],
        *([name] for name in command.commands),
        *(["image", name] for name in command.commands["image"].commands),
    ]
    for path in words:
        assert "Examples:" in invoke(*path, "--help").output, path
