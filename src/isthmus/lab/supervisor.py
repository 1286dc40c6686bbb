"""Brings a lab up and down from outside: sockets, certificates, the detached daemon, and waiting for it."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from isthmus.lab import environment, namespaces, pki, preflight, processes
from isthmus.lab.config import RECORDED, LabDir, LabError, Record
from isthmus.lab.topology import Cluster, Machine, clusters

Say = Callable[[str], None]

READY_SECONDS: Final = 60.0
START_SECONDS: Final = 10.0
END_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.05
TAIL_LINES: Final = 15
RESTARTS_TOLERATED: Final = 3
BACKLOG: Final = 512


def up(lab: LabDir, names: tuple[str, ...], say: Say, *, flat: bool = False, nodes: int | None = None) -> Record:
    """Have a lab of these clusters running and ready. Called again for a running lab, only checks that it is.

    `nodes` of each cluster; None: as many as the lab in that folder has, one in a new lab.
    """
    nodes = nodes or _nodes_of(lab)
    members = _plan(lab, names, flat=flat, nodes=nodes)
    if problems := preflight.problems(lab.path, members):
        raise LabError("\n".join(problems))
    former: Record | None = None
    try:
        with _explained(lab), lab.locked():
            former = lab.read_record()
            _check_network(lab, former, flat=flat, nodes=nodes)
            runs = former is not None and processes.alive(former.pid, former.started)
            record = former if former is not None and runs else _start(lab, members, former, say)
        if runs:
            _check_same(lab, record, names)
            say(f"The lab in {lab.path} runs already.")
        _wait(lab, record, members, say)
    except KeyboardInterrupt:
        _undo(lab, former)
        raise LabError(f"Interrupted: what this command started in {lab.path} has ended.") from None
    return record


def _nodes_of(lab: LabDir) -> int:
    """Of each cluster of the lab that is there. Whoever may not look there is told so by what comes next."""
    if not os.access(lab.path, os.R_OK | os.X_OK):
        return 1
    found = lab.read_record()
    return found.nodes if found is not None else 1


def _check_same(lab: LabDir, record: Record, names: tuple[str, ...]) -> None:
    if record.clusters != list(names):
        raise LabError(
            f"A lab with {', '.join(record.clusters)} runs in {lab.path} already: `isthmus lab down` ends it, "
            "or choose another --dir for a second one."
        )


def _check_network(lab: LabDir, former: Record | None, *, flat: bool, nodes: int) -> None:
    """A lab keeps its addresses as long as there is one in its folder."""
    if former is not None and former.flat != flat:
        kind, words = ("flat", "name --flat") if former.flat else ("not flat", "leave --flat out")
        raise LabError(f"The lab in {lab.path} is {kind}: {words}, or end it with `isthmus lab down` first.")
    if former is not None and former.nodes != nodes:
        raise LabError(
            f"Each cluster of the lab in {lab.path} has {former.nodes} node(s): name --nodes {former.nodes}, or end it "
            "with `isthmus lab down` first."
        )


def _undo(lab: LabDir, former: Record | None) -> None:
    """End what an interrupted `up` began. A new lab leaves nothing, one that was there before keeps its files."""
    with _explained(lab), lab.locked():
        record = lab.read_record()
        if record is None or record == former:
            return
        _end_recorded(lab, record)
        if former is None:
            shutil.rmtree(lab.path)


@contextlib.contextmanager
def _explained(lab: LabDir) -> Iterator[None]:
    """Trouble with the lab's folder as a sentence."""
    try:
        yield
    except OSError as error:
        where = error.filename or lab.path
        raise LabError(
            f"The lab cannot use {where}: {error.strerror}. Choose another --dir, or make room there."
        ) from None


def down(lab: LabDir) -> bool:
    """End everything a lab runs and remove its files. False when there was nothing to do."""
    if not lab.path.exists():
        return False
    with _explained(lab), lab.locked():
        record = lab.read_record() if (lab.path / "lab.json").exists() else None
        if record is None and any(lab.path.iterdir()):
            raise LabError(f"{lab.path} holds files but no lab: nothing was touched. Remove it by hand if it is yours.")
        if record is not None:
            _end_recorded(lab, record)
        shutil.rmtree(lab.path)
    return record is not None


def running(lab: LabDir) -> Record:
    """The record of a lab that runs; LabError when none does."""
    record = lab.read_record()
    if record is None or not processes.alive(record.pid, record.started):
        raise LabError(f"No lab runs in {lab.path}: start one with `isthmus lab up`, or name its --dir.")
    return record


def _plan(lab: LabDir, names: tuple[str, ...], *, flat: bool, nodes: int) -> tuple[Cluster, ...]:
    try:
        return clusters(names, lab.path, flat=flat, nodes=nodes)
    except ValueError as error:
        raise LabError(str(error)) from None


def _start(lab: LabDir, members: tuple[Cluster, ...], former: Record | None, say: Say) -> Record:
    """Start a lab from what is on disk: a lab that died keeps its ports, certificates and objects."""
    if former is None and (strangers := lab.strangers()):
        raise LabError(
            f"{lab.path} holds files that are no lab's, such as {strangers[0]}, and `lab down` would remove them: "
            "choose another --dir."
        )
    known = former.ports if former is not None else {}
    record = Record(
        clusters=[cluster.name for cluster in members], ports=known, flat=members[0].flat, nodes=members[0].size
    )
    lab.write_record(record)
    environment.fill_bin(lab)
    sockets = {cluster.name: _listen(known.get(cluster.name, 0)) for cluster in members}
    ports = {name: int(sock.getsockname()[1]) for name, sock in sockets.items()}
    for name, port in known.items():
        if name in ports and ports[name] != port:
            say(
                f"{name}: port {port} is taken by another program; its API server is at port {ports[name]} from now on."
            )
    _write_credentials(lab, members, ports)
    lab.clear_health()
    told, tell = os.pipe()
    try:
        holder, pid = _launch(lab, members, [sockets[cluster.name] for cluster in members], told)
        record = msgspec.structs.replace(record, ports=ports, pid=pid, started=processes.start_time(pid))
        lab.write_record(record)
        os.write(tell, RECORDED)
        holder.returncode = 0  # it outlives this command: nobody is to wait for it
    finally:
        os.close(told)
        os.close(tell)
        for sock in sockets.values():
            sock.close()
    return record


def _listen(port: int) -> socket.socket:
    """A listening socket of the host, on a remembered port if it is still free."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.bind(("127.0.0.1", 0))
    sock.listen(BACKLOG)
    return sock


def _write_credentials(lab: LabDir, members: tuple[Cluster, ...], ports: dict[str, int]) -> None:
    outside = {}
    for cluster in members:
        cluster.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for node in cluster.nodes:
            node.dir.mkdir(exist_ok=True)
        keys = pki.Pki(cluster.pki_dir)
        if not keys.account_key.exists():
            keys = pki.create(cluster.pki_dir, cluster=cluster.name, node_ip=cluster.control.ip)
        pki.kubeconfig(cluster.kubeconfig, {cluster.name: (keys, cluster.server)})
        outside[cluster.name] = (keys, f"https://127.0.0.1:{ports[cluster.name]}")
    pki.kubeconfig(lab.kubeconfig, outside)


def _launch(
    lab: LabDir, members: tuple[Cluster, ...], sockets: list[socket.socket], told: int
) -> tuple["subprocess.Popen[bytes]", int]:
    """Start the daemon in namespaces of its own, detached from this terminal; its holder and its pid out here.

    It ends by itself unless it reads from `told` that it is on record: whoever starts it may be killed at any moment.
    """
    fds = [sock.fileno() for sock in sockets]
    command = namespaces.enclose(uid=os.geteuid())
    command += [sys.executable, "-m", "isthmus.lab.daemon", "--dir", str(lab.path)]
    command += ["--clusters", ",".join(cluster.name for cluster in members)]
    command += ["--flat"] if members[0].flat else []
    command += ["--nodes", str(members[0].size)]
    command += ["--listen-fds", ",".join(map(str, fds)), "--told-fd", str(told)]
    with lab.daemon_log.open("wb") as output:
        holder = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[*fds, told],
            start_new_session=True,
            cwd="/",
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and holder.poll() is None:
            if (pid := processes.only_child(holder.pid)) and lab.read_health():
                return holder, pid
            time.sleep(POLL_SECONDS)
    except BaseException:
        _give_up(holder)
        raise
    _give_up(holder)
    raise LabError(f"The lab's daemon did not start; the end of {lab.daemon_log} says:\n{tail(lab.daemon_log)}")


def _give_up(holder: "subprocess.Popen[bytes]") -> None:
    """Have nothing left of the namespaces: what is in them is waited for, which their holder does not do."""
    if first := processes.only_child(holder.pid):
        _end(first)
    if holder.poll() is None:
        holder.kill()
        holder.wait(END_SECONDS)


def _end_recorded(lab: LabDir, record: Record) -> None:
    if processes.alive(record.pid, record.started) and not _end(record.pid):
        raise LabError(f"The lab's process {record.pid} does not end: look at {lab.daemon_log}, then try again.")


def _end(pid: int) -> bool:
    """Kill pid 1 of the lab: the kernel kills the rest, and `unshare` ends with its child."""
    return processes.end(pid, timeout=END_SECONDS)


def _wait(lab: LabDir, record: Record, members: tuple[Cluster, ...], say: Say) -> None:
    """Wait in an event loop, whose making and unmaking no interrupt may leave half done."""
    _hold_interrupts(True)
    try:
        asyncio.run(_wait_until_ready(lab, record, members, say))
    finally:
        _hold_interrupts(False)


def _hold_interrupts(held: bool) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK if held else signal.SIG_UNBLOCK, {signal.SIGINT})


async def _wait_until_ready(lab: LabDir, record: Record, members: tuple[Cluster, ...], say: Say) -> None:
    _hold_interrupts(False)
    try:
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(_wait_for(lab, record, cluster, say)) for cluster in members]
    finally:
        _hold_interrupts(True)
    if failures := [failure for wait in waits if (failure := wait.result())]:
        raise LabError("\n".join([*failures, "The lab was left as it is for a look; `isthmus lab down` removes it."]))


async def _wait_for(lab: LabDir, record: Record, cluster: Cluster, say: Say) -> str:
    """Wait for one cluster's API server, then its node; what went wrong, or ""."""
    from isthmus.lab.client import NODES, Client
    from isthmus.lab.status import is_ready

    began = time.monotonic()
    phase = "API server"
    async with Client.from_kubeconfig(lab.kubeconfig, cluster.name) as client:
        while time.monotonic() - began < READY_SECONDS:
            with contextlib.suppress(Exception):
                nodes = (await client.list(NODES)).items
                phase = "node"
                if len(nodes) >= cluster.size and all(is_ready(node) for node in nodes):
                    say(f"{cluster.name}: ready at https://127.0.0.1:{record.ports[cluster.name]}")
                    return ""
            if failure := _failure(lab, record, cluster):
                return failure
            await asyncio.sleep(POLL_SECONDS)
    log = lab.log(cluster.name, "apiserver" if phase == "API server" else cluster.nodes[0].process)
    return f"{cluster.name}: its {phase} is not ready after {READY_SECONDS:.0f} s; the end of {log} says:\n{tail(log)}"


def _failure(lab: LabDir, record: Record, cluster: Cluster) -> str:
    """Why there is no point in waiting any longer, or ""."""
    if not processes.alive(record.pid, record.started):
        return f"The lab's daemon has ended; the end of {lab.daemon_log} says:\n{tail(lab.daemon_log)}"
    for name, health in lab.read_health().items():
        owner, _, process = name.partition("/")
        if owner == cluster.name and health.restarts >= RESTARTS_TOLERATED:
            log = lab.log(owner, process)
            return f"{name} does not start ({health.last_exit}); the end of {log} says:\n{tail(log)}"
    return ""


def tail(path: Path) -> str:
    """The last lines of a log, indented."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return "  (there is no such file)"
    return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:]) or "  (it is empty)"


def inside_command(record: Record, machine: Machine, command: list[str]) -> list[str]:
    """The command that runs `command` in a node's network namespace, with the lab's mounts and processes in view."""
    return [*namespaces.enter(record.pid), "nsenter", f"--net=/run/netns/{machine.namespace}", *command]
