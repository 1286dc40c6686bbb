"""Debian packages of the machine's own sources, unpacked without their scripts: file trees, not installations."""

import os
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, Final

MERGED: Final = ("bin", "lib", "lib64", "sbin")
"""Folders that are links into /usr."""
DROPPED: Final = (
    "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/info", "usr/share/bug", "usr/share/menu",
    "usr/share/pixmaps", "usr/share/applications", "usr/share/base-files", "usr/share/python3", "usr/share/binfmts",
    "usr/lib/valgrind", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/aarch64-linux-gnu/gconv",
    "usr/lib/python3.11/distutils", "usr/lib/python3.11/lib2to3", "usr/lib/python3.11/pydoc_data",
    "usr/lib/python3.11/ensurepip", "usr/lib/python3.11/test", "usr/lib/python3.11/sqlite3", "boot", "home", "media",
    "mnt", "opt", "srv", "lib32", "libx32",
)  # fmt: skip
CONTROL: Final = "var/lib/dpkg/status.d"
"""Where scanners look for what packages an image without dpkg consists of."""


class PackageError(Exception):
    """A package cannot be had; the message says what to do."""


def fetch(packages: Iterable[str], cache: Path) -> dict[str, Path]:
    """The files of the packages, in the newest version that the machine's (signed) sources offer."""
    state, files = cache / "apt", cache / "debian"
    for folder in (state / "lists/partial", state / "cache/archives/partial", files):
        folder.mkdir(parents=True, exist_ok=True)
    apt = ["apt-get", "-qq", "-o", f"Dir::State={state}", "-o", f"Dir::Cache={state}/cache"]
    apt += ["-o", "Dir::State::status=/dev/null", "-o", "APT::Sandbox::User="]
    _run([*apt, "update"])
    wanted = list(packages)
    offered = [line.split()[1] for line in _run([*apt, "--print-uris", "download", *wanted]).splitlines()]
    found = {name.partition("_")[0]: files / name for name in offered}
    missing = [package for package in wanted if not found[package].exists()]
    if missing:
        _run([*apt, "download", *missing], cwd=files)
    return {package: found[package] for package in wanted}


def unpack(package: Path, into: Path) -> None:
    """The package's files, with /bin, /lib and /sbin below /usr, and its description for scanners."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as dpkg:
        assert dpkg.stdout is not None
        with tarfile.open(fileobj=dpkg.stdout, mode="r|") as archive:
            for member in archive:
                _place(archive, member, into)
    if dpkg.returncode:
        raise PackageError(f"{package} cannot be unpacked: remove it and try again.")
    described = into / CONTROL / package.name.partition("_")[0]
    described.parent.mkdir(parents=True, exist_ok=True)
    described.write_text(_run(["dpkg-deb", "--field", str(package)]))


def _place(archive: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    name = _merged(member.name)
    if name is None:
        return
    target = into / name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(member.mode | 0o700)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if member.issym():
        target.symlink_to(member.linkname)
    elif member.islnk():
        original = _merged(member.linkname)
        assert original is not None, member.name
        target.write_bytes((into / original).read_bytes())
        target.chmod(member.mode & 0o755)
    elif member.isreg():
        content = archive.extractfile(member)
        assert content is not None
        _write(content, target)
        target.chmod(member.mode & 0o755)


def _write(content: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        while part := content.read(1 << 20):
            file.write(part)


def _merged(name: str) -> str | None:
    """The path in the image; None for what is left out."""
    path = PurePosixPath(os.path.normpath(name))
    if not path.parts or path.parts[0] in ("..", "/"):
        return None
    if path.parts[0] in MERGED:
        path = "usr" / path
    text = str(path)
    if any(text == part or text.startswith(part + "/") for part in DROPPED):
        return None
    documentation = path.parts[:3] == ("usr", "share", "doc")
    return None if documentation and path.name != "copyright" else text


def _run(command: list[str], cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    except FileNotFoundError:
        raise PackageError(f"{command[0]} is missing: build on Debian 12, or use packaging/Containerfile.") from None
    if done.returncode:
        raise PackageError(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout
