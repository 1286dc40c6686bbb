"""The namespaces that a lab lives in: how to make them, how to enter them, and why this machine may forbid it.

Root makes them as they are. An ordinary user first gets a user namespace in which it is root, with the other users that
`/etc/subuid` lends it: the proxy of a pod runs as a user of its own, by which packets are told. Nothing else differs.
"""

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Final

KINDS: Final = ("--net", "--mount", "--pid", "--uts", "--ipc")
AS_ROOT_INSIDE: Final = ("--user", "--map-root-user", "--map-auto")
TRY_SECONDS: Final = 10.0
PROC_SYS: Final = Path("/proc/sys")

_FORBIDDEN: Final = (
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
)
"""Where a kernel says that users make no namespaces, what it says then, and what allows it."""


def enclose(*, uid: int) -> list[str]:
    """What to put before a command to run it as root of new namespaces, as the first process in them."""
    user = AS_ROOT_INSIDE if uid else ()
    return ["unshare", *user, *KINDS, "--fork", "--kill-child", "--mount-proc"]


def enter(pid: int) -> list[str]:
    """What to put before a command to run it where a process of a lab is, but in the network of whoever calls."""
    user = [] if _user_namespace(pid) == _user_namespace(os.getpid()) else ["--user"]
    return ["nsenter", f"--target={pid}", *user, "--mount", "--pid", "--uts", "--ipc", f"--wd={os.getcwd()}"]


def refusal(*, uid: int, proc_sys: Path = PROC_SYS) -> str:
    """Why this user cannot make a lab's namespaces here, with what to change; "" when it can."""
    if not uid:
        return ""
    if shutil.which("newuidmap") is None:
        return "As an ordinary user the lab needs newuidmap: `apt-get install uidmap`, or use root."
    for name, forbidden, remedy in _FORBIDDEN:
        if _read(proc_sys / name) == forbidden:
            return f"This machine lets only root make namespaces: `{remedy}` (as root) allows it, or use root."
    said = _try()
    if "subuid" in said or "subgid" in said:
        name = _user(uid)
        return (
            f"{name} has no other users to lend to pods: `usermod --add-subuids 100000-165535 --add-subgids "
            f"100000-165535 {name}` (as root; any free range of 65536) gives it some, or use root."
        )
    return f"This machine does not let {_user(uid)} make namespaces ({said}): use root." if said else ""


def _try() -> str:
    """Make such namespaces and do in them what a lab does first; what was said when that failed."""
    trial = [*enclose(uid=1), "setpriv", "--reuid=65534", "--clear-groups", "true"]
    try:
        done = subprocess.run(trial, capture_output=True, text=True, timeout=TRY_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else " ".join(done.stderr.split()) or f"exit code {done.returncode}"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _user_namespace(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/user")
