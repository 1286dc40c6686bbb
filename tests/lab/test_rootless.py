"""Where a user cannot make namespaces, one sentence says what to change."""

from pathlib import Path

import pytest

from isthmus.lab import namespaces, preflight


def switches(folder: Path, **values: str) -> Path:
    for name, value in values.items():
        area = "user" if name.startswith("max_user") else "kernel"
        (folder / area).mkdir(exist_ok=True)
        (folder / area / name).write_text(f"{value}\n")
    return folder


def tool(folder: Path, name: str, *, says: str = "", code: int = 0) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {code}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only programs of this machine: namespaces can be made."""
    folder = tmp_path / "bin"
    folder.mkdir()
    tool(folder, "newuidmap")
    tool(folder, "unshare")
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.parametrize(
    ("switch", "remedy"),
    [
        ({"max_user_namespaces": "0"}, "user.max_user_namespaces=15000"),
        ({"unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"),
        ({"apparmor_restrict_unprivileged_userns": "1"}, "kernel.apparmor_restrict_unprivileged_userns=0"),
    ],
)
def test_a_machine_that_forbids_namespaces_says_which_switch(programs, tmp_path, switch, remedy):
    said = namespaces.refusal(uid=1000, proc_sys=switches(tmp_path, **switch))
    assert f"`sysctl -w {remedy}`" in said
    assert "or use root" in said
    assert "\n" not in said


def test_a_user_who_may_is_not_refused(programs, tmp_path):
    assert namespaces.refusal(uid=1000, proc_sys=switches(tmp_path, max_user_namespaces="15000")) == ""


def test_root_needs_none_of_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert namespaces.refusal(uid=0) == ""


def test_a_user_without_lent_users_is_told_how_to_get_some(programs, tmp_path):
    tool(programs, "unshare", says="unshare: no line matching user 1000 in /etc/subuid", code=1)
    said = namespaces.refusal(uid=1000, proc_sys=tmp_path)
    assert "`usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " in said


def test_another_failure_is_told_in_the_words_of_the_program(programs, tmp_path):
    tool(programs, "unshare", says="unshare: not today", code=1)
    assert "unshare: not today" in namespaces.refusal(uid=1000, proc_sys=tmp_path)


def test_the_package_with_newuidmap_is_named(programs, tmp_path):
    (programs / "newuidmap").unlink()
    assert "apt-get install uidmap" in namespaces.refusal(uid=1000, proc_sys=tmp_path)


def test_up_refuses_with_that_sentence(programs, tmp_path, monkeypatch):
    for name in preflight.PROGRAMS:
        tool(programs, name)
    tool(programs, "unshare", says="unshare: not today", code=1)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    (problem,) = preflight.problems(tmp_path, ())
    assert "not today" in problem
