"""A container's root folder."""

import os
import sys
from pathlib import Path

import pytest

from isthmus.lab.node import rootfs
from isthmus.lab.node.rootfs import Mount, bind


def test_the_table_of_mounts_survives_blanks_in_names():
    assert rootfs.fstab(Path("/r"), [bind("/a b", "/c d")]) == "/a\\040b /r/c\\040d none bind,ro 0 0\n"


def test_python_and_this_package_are_in_reach():
    folders = rootfs.interpreter_folders()
    needed = [Path(os.path.realpath(sys.executable)), Path(rootfs.__file__)]
    assert all(any(path.is_relative_to(folder) for folder in (*folders, Path("/usr"))) for path in needed)
    assert not any(one != other and one.is_relative_to(other) for one in folders for other in folders)


def test_everything_has_something_to_be_mounted_on_and_parents_are_open(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    root = tmp_path / "root"
    rootfs.prepare(root, [bind(file, "/private/home/file"), bind(tmp_path, "/data"), Mount("tmpfs", "/m", "tmpfs")], {})
    assert (root / "private/home/file").is_file()
    assert (root / "data").is_dir()
    assert (root / "m").is_dir()
    assert (root / "private").stat().st_mode & 0o777 == 0o755
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert os.readlink(root / "bin") == "usr/bin"


def test_a_mount_cannot_leave_the_root(tmp_path):
    root = tmp_path / "root"
    with pytest.raises(ValueError, match="cannot be mounted"):
        rootfs.prepare(root, [bind(tmp_path, "/../../elsewhere")], {})


def test_an_image_can_bring_a_program_to_where_programs_are(tmp_path):
    probe = tmp_path / "probe"
    probe.write_text("x")
    rootfs.prepare(tmp_path / "root", [bind(probe, "/bin/env")], {})
    assert (tmp_path / "root/bin/env").is_file()
    assert os.readlink(tmp_path / "root/bin/sh") == "/usr/bin/sh"
