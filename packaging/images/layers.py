"""A layer's files, put together in a folder, and the folder as a tar with nothing of this machine in it."""

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from images import contents, debian
from images.contents import Layer

EPOCH: Final = 0
"""The time of every file: the same input gives the same bytes."""
ACCOUNTS: Final = {"root": 0, "linkerd-proxy": 2102, "isthmus": 2103, "pause": 65535, "nobody": 65534}


@dataclass(frozen=True)
class Blob:
    """A compressed layer: its digest, its size, and the digest of what is inside."""

    digest: str
    size: int
    diff_id: str
    path: Path


def assemble(layer: Layer, into: Path, *, packages: Mapping[str, Path], interpreter: Path | None) -> None:
    """Fill `into` with the layer's files; `interpreter` is the folder that holds the image's Python."""
    into.mkdir(parents=True)
    for name in layer.debian:
        debian.unpack(packages[name], into)
    if "python3.11-minimal" in layer.debian:
        _base(into)
    if layer.libraries:
        _libraries(layer.libraries, into / contents.SITE)
    for source, target in layer.files:
        _copy(contents.ROOT / source, into / target)
    for name, target in layer.links:
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).symlink_to(target)
    _compile(into, interpreter or into)


def pack(folder: Path, blob: Path) -> Blob:
    """The folder as a compressed tar: sorted, owned by root, without times."""
    plain, packed = hashlib.sha256(), hashlib.sha256()
    with blob.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as zipped:
        stream = _Hashing(zipped, plain)
        with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(folder.rglob("*")):
                archive.addfile(*_member(folder, path))
    packed.update(blob.read_bytes())
    return Blob(packed.hexdigest(), blob.stat().st_size, plain.hexdigest(), blob)


def _member(folder: Path, path: Path) -> tuple[tarfile.TarInfo, io.BytesIO | None]:
    member = tarfile.TarInfo(path.relative_to(folder).as_posix())
    member.mtime, mode = EPOCH, path.lstat().st_mode
    if path.is_symlink():
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, os.readlink(path), 0o777
        return member, None
    if path.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, 0o1777 if path.name == "tmp" else 0o755
        return member, None
    content = path.read_bytes()
    member.size, member.mode = len(content), 0o755 if mode & 0o100 else 0o644
    return member, io.BytesIO(content)


class _Hashing(io.RawIOBase):
    """Writes through, and hashes what passes."""

    def __init__(self, onto: gzip.GzipFile, digest: "hashlib._Hash") -> None:
        self._onto, self._digest = onto, digest

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._digest.update(data)
        return self._onto.write(data)


def _base(root: Path) -> None:
    """What the scripts of the packages would have made."""
    for name in debian.MERGED:
        (root / name).symlink_to(f"usr/{name}")
    (root / "tmp").mkdir(exist_ok=True)
    etc = root / "etc"
    etc.mkdir(exist_ok=True)
    users = sorted(ACCOUNTS.items(), key=lambda item: item[1])
    (etc / "passwd").write_text("".join(f"{name}:x:{uid}:{uid}::/:/usr/sbin/nologin\n" for name, uid in users))
    (etc / "group").write_text("".join(f"{name}:x:{uid}:\n" for name, uid in users))
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    authorities = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    bundle = etc / "ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_bytes(b"".join(file.read_bytes() for file in authorities))
    shutil.rmtree(root / "usr/share/ca-certificates")
    (root / "usr/lib/ssl").mkdir(exist_ok=True)
    (root / "usr/lib/ssl/cert.pem").symlink_to("/etc/ssl/certs/ca-certificates.crt")


def _libraries(names: tuple[str, ...], into: Path) -> None:
    """The locked versions, checked against the locked hashes, as wheels for the image's Python."""
    wanted = "".join(entry for name, entry in locked().items() if name in names)
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(into), "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--python-version", "3.11", "--link-mode", "copy"]
    subprocess.run(
        [*command, "--no-compile-bytecode", "--requirements", "-"],
        input=wanted,
        text=True,
        check=True,
    )
    for path in sorted(into.rglob("*"), reverse=True):
        if path.name in ("RECORD", "INSTALLER", "REQUESTED", "uv_cache.json", "direct_url.json", ".lock"):
            path.unlink()
        elif path.suffix in (".pyi", ".pyx", ".pxd", ".c", ".h", ".a") or path.name in ("tests", "__pycache__", "bin"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def locked() -> dict[str, str]:
    """requirements.lock by name: each entry with its hashes."""
    entries: dict[str, str] = {}
    name = ""
    for line in (contents.ROOT / "requirements.lock").read_text().splitlines(keepends=True):
        if "==" in line and not line.startswith((" ", "#")):
            name = line.partition("==")[0].strip()
            entries[name] = ""
        if name and not line.lstrip().startswith("#"):
            entries[name] += line
    return entries


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", *contents.NOT_IN_IMAGES)
        shutil.copytree(source, target, ignore=ignored)
    else:
        shutil.copy(source, target)


def _compile(folder: Path, interpreter: Path) -> None:
    """Compiled by the Python of the image, which is read-only when it runs. Nothing outside the image is used."""
    libraries = next((interpreter / "usr/lib").glob("*-linux-gnu"))
    loader = next(libraries.glob("ld-linux-*.so.*"))
    where = [str(path) for path in (folder / "usr/lib/python3.11", folder / contents.SITE) if path.exists()]
    if not where:
        return
    python = [str(loader), "--library-path", str(libraries), str(interpreter / "usr/bin/python3.11"), "-S"]
    relative = ["-s", str(folder), "-p", "/", "--invalidation-mode", "unchecked-hash"]
    subprocess.run(
        [*python, "-m", "compileall", "-q", *relative, *where],
        env={"PYTHONHOME": str(interpreter / "usr"), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
    )
