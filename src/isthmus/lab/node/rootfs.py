"""A container's root folder: this machine's programs read-only, everything that can be changed its own.

The folder itself is plain files, made here; what is mounted on top is a list in fstab format that one `mount -a` inside
the container's mount namespace works off. Nothing is mounted outside a container.
"""

import os
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import isthmus

_FOLDERS: Final = ("usr", "etc", "proc", "sys", "dev", "dev/pts", "dev/shm", "run", "root", "var", "var/run", "var/log")
_SHARED_FOLDERS: Final = ("tmp", "var/tmp")
_SYSTEM_LINKS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS: Final = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_SYSTEM_CONFIG: Final = (
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "group",
    "ld.so.cache",
    "localtime",
    "os-release",
    "passwd",
    "pki",
    "protocols",
    "services",
    "ssl",
    "terminfo",
)
_NSSWITCH: Final = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nprotocols: files\nservices: files\n"


@dataclass(frozen=True, slots=True)
class Mount:
    """One entry of the table of mounts; `target` is a path inside the container."""

    source: str
    target: str
    kind: str = "none"
    options: str = "bind"


def bind(source: Path | str, target: str, *, read_only: bool = True) -> Mount:
    options = "bind,ro" if read_only else "bind"
    # A folder inside a volume that is mounted before it exists only once that volume is there.
    return Mount(str(source), target, options=f"{options},X-mount.mkdir" if os.path.isdir(source) else options)


def fstab(root: Path, mounts: Iterable[Mount]) -> str:
    """The table for `mount -a -T`, in the order given: a later mount may lie on an earlier one."""
    lines = (
        f"{_escape(mount.source)} {_escape(f'{root}{mount.target}')} {mount.kind} {mount.options} 0 0"
        for mount in mounts
    )
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011").replace("\n", "\\012")


def interpreter_folders() -> tuple[Path, ...]:
    """What Python and this package need besides /usr: prefixes and the source tree, none inside another."""
    package = Path(isthmus.__file__).parent.parent
    wanted = {Path(sys.prefix), Path(sys.base_prefix), Path(os.path.realpath(sys.base_prefix)), package}
    wanted |= {Path(os.path.realpath(path)) for path in wanted}
    outside = sorted(path for path in wanted if not path.is_relative_to("/usr"))
    return tuple(path for path in outside if not any(other != path and path.is_relative_to(other) for other in outside))


@cache
def system_mounts() -> tuple[Mount, ...]:
    """What every container sees of this machine, and the kernel's own file systems."""
    config = (Path("/etc") / name for name in _SYSTEM_CONFIG)
    return (
        Mount("proc", "/proc", "proc", "nosuid,nodev,noexec"),
        bind("/usr", "/usr"),
        *(bind(path, str(path)) for path in interpreter_folders()),
        *(bind(os.path.realpath(path), str(path)) for path in config if path.exists()),
        *(bind(f"/dev/{name}", f"/dev/{name}", read_only=False) for name in _DEVICES),
        Mount("devpts", "/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"),
        Mount("tmpfs", "/dev/shm", "tmpfs", "mode=1777,nosuid,nodev"),
    )


def prepare(root: Path, mounts: Sequence[Mount], files: Mapping[str, str]) -> None:
    """Make the folder: the usual tree, `files` (path -> text), and something to mount each of `mounts` on.

    Parents of what is mounted are made anew and open to every user: on this machine they may be private.
    """
    root.mkdir(parents=True)
    root.chmod(0o755)
    for name in _FOLDERS:
        (root / name).mkdir(exist_ok=True)
    for name in _SHARED_FOLDERS:
        (root / name).mkdir()
        (root / name).chmod(0o1777)
    for name in _SYSTEM_LINKS:
        own = {mount.target.removeprefix(f"/{name}/") for mount in mounts if mount.target.startswith(f"/{name}/")}
        (_copy_links if own else _copy_link)(Path("/") / name, root / name, own)
    for name, target in _DEVICE_LINKS.items():
        (root / "dev" / name).symlink_to(target)
    for path, text in {"/etc/nsswitch.conf": _NSSWITCH, **files}.items():
        (root / path.lstrip("/")).write_text(text)
    for mount in mounts:
        _make_target(root, mount)


def remove(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)


def _copy_link(original: Path, copy: Path, _: Collection[str]) -> None:
    """/bin and its like: links into /usr here; old machines with real folders get links too, /usr has what we need."""
    if original.exists():
        copy.symlink_to(f"usr/{original.name}")


def _copy_links(original: Path, copy: Path, own: Collection[str]) -> None:
    """/bin of an image that brings a program along there: a folder of links, with room for it."""
    copy.mkdir()
    for name in set(os.listdir(original)) - set(own) if original.exists() else ():
        (copy / name).symlink_to(f"/usr/{original.name}/{name}")


def _make_target(root: Path, mount: Mount) -> None:
    target = root / mount.target.lstrip("/")
    if target.is_symlink() or not Path(os.path.realpath(target)).is_relative_to(os.path.realpath(root)):
        raise ValueError(f"{mount.target} cannot be mounted: a link stands in its way; choose another mountPath")
    if mount.kind == "none" and not os.path.isdir(mount.source):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    else:
        target.mkdir(parents=True, exist_ok=True)


def ensure_folder(root: Path, path: str) -> None:
    """Make a working folder that is neither mounted nor there yet."""
    if not path.startswith("/usr"):
        (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
