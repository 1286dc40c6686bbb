"""What must be so before a lab can start: each missing thing is one sentence with the next step."""

import os
import shutil
from pathlib import Path
from typing import Final

from isthmus.lab import namespaces
from isthmus.lab.topology import Cluster

PROGRAMS: Final = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "nft": "nftables",
    "sysctl": "procps",
    "hostname": "hostname",
}
"""Program -> the Debian package that has it."""

SOCKET_PATH_LIMIT: Final = 107
"""The kernel's limit for the path of a unix socket."""


def problems(lab_dir: Path, clusters: tuple[Cluster, ...]) -> list[str]:
    """Why a lab cannot start here; empty when it can."""
    found = []
    missing = {program: package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        found.append(f"The lab needs {_listing(sorted(missing))}, not found on PATH: `apt-get install {packages}`.")
    elif refused := namespaces.refusal(uid=os.geteuid()):
        found.append(refused)
    if lab_dir.resolve().is_relative_to("/run"):
        found.append(f"{lab_dir} lies under /run, which the lab replaces by its own: choose another --dir.")
    sockets = (node.kubelet_socket.relative_to(lab_dir) for cluster in clusters for node in cluster.nodes)
    longest = max((len(str(lab_dir.resolve() / socket)) for socket in sockets), default=0)
    if longest > SOCKET_PATH_LIMIT:
        found.append(
            f"{lab_dir} is too long a path for the sockets in it, by {longest - SOCKET_PATH_LIMIT} letters: "
            "choose a shorter --dir."
        )
    return found


def _listing(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
