"""The first process inside a lab: lays the cables, keeps every cluster's processes running, buries the dead.

It is pid 1 of the lab's pid namespace, so the kernel ends everything in the lab when it ends, however it ends.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from isthmus.lab import breaking, wan
from isthmus.lab.config import RECORDED, Health, LabDir
from isthmus.lab.faults import API_PROCESS, Faults, How, hold
from isthmus.lab.forks import Server, fork, prepare
from isthmus.lab.node.commands import wait_without_threads
from isthmus.lab.node.network import NAMESPACES
from isthmus.lab.topology import API_PORT, CLUSTER_DOMAIN, HEARTBEAT, SERVICE_NETWORK, Cluster, Machine, clusters

log = logging.getLogger(__name__)

RESTART_FIRST: Final = 0.1
RESTART_MOST: Final = 5.0
STEADY_SECONDS: Final = 30.0
"""A process that ran this long before it ended starts its back-off anew."""


@dataclass(slots=True)
class Process:
    """A server that must run, and how it fared."""

    name: str
    server: Server
    pid: int = 0
    restarts: int = 0
    last_exit: str = ""
    since: float = 0.0
    delay: float = RESTART_FIRST
    held: How | None = None
    """Whether it is dead or stuck on purpose."""

    @property
    def listen_fd(self) -> int | None:
        return self.server.listen_fd


def servers(lab: LabDir, cluster: Cluster, listen_fd: int) -> dict[str, Server]:
    """The servers of one cluster, by name. The only node of a cluster runs the controllers, too."""
    shared = ("--cluster-domain", CLUSTER_DOMAIN)
    control = ("--pki-dir", cluster.pki_dir, "--load-balancer-cidr", cluster.load_balancer_network)
    client = ("--kubeconfig", cluster.kubeconfig)

    def server(name: str, package: str, machine: Machine, *arguments: object, fd: int | None = None) -> Server:
        return Server(
            package=package,
            arguments=tuple(map(str, arguments)),
            title=str(machine.dir if machine.is_node else cluster.dir),
            network=Path(NAMESPACES, machine.namespace),
            log=lab.log(cluster.name, name),
            listen_fd=fd,
        )

    apiserver = (
        *("--cluster", cluster.name, "--data-dir", cluster.data_dir, "--listen-fd", listen_fd),
        *("--listen-address", f"{cluster.control.ip}:{API_PORT}", "--service-cidr", SERVICE_NETWORK),
        *("--kubelet-socket", cluster.kubelet_socket, "--pki-dir", cluster.pki_dir),
    )
    found = {
        API_PROCESS: server(API_PROCESS, "isthmus.lab.api", cluster.control, *shared, *apiserver, fd=listen_fd),
    }
    if cluster.several:
        found["controllers"] = server(
            "controllers", "isthmus.lab.controllers", cluster.control, *client, *control, "--watch-nodes"
        )
    for node in cluster.nodes:
        more = ("--heartbeat", HEARTBEAT) if cluster.several else ("--controllers", *control)
        arguments = (*shared, *client, *_node_arguments(node), *more)
        found[node.process] = server(node.process, "isthmus.lab.node", node, *arguments)
    return found


def _node_arguments(node: Machine) -> tuple[object, ...]:
    cluster = node.cluster
    names = ("--cluster", cluster.name, "--name", node.name, "--lab-dir", cluster.lab_dir, "--dir", node.dir)
    network = ("--node-ip", node.ip, "--api-ip", cluster.control.ip, "--pod-cidr", node.pod_network)
    routed = ("--routed-cidr", cluster.routed_network) if cluster.routed_network else ()
    return (*names, *network, *routed, "--kubelet-socket", node.kubelet_socket)


@dataclass(slots=True)
class Daemon:
    """Starts the processes of all clusters and starts them again when they end."""

    lab: LabDir
    processes: list[Process]
    told_fd: int
    """Says that the lab is on record; its end says that nobody knows of it."""
    clusters: tuple[Cluster, ...]
    by_pid: dict[int, Process] = field(default_factory=dict)
    breaker: breaking.Breaker = field(init=False)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        self.breaker = breaking.Breaker(self.lab, self.clusters, hold=self._hold, at_rest=self._bury)
        loop.add_signal_handler(signal.SIGCHLD, self._bury)
        async with await self.breaker.serve():
            await self._keep_running(stop)

    async def _keep_running(self, stop: asyncio.Event) -> None:
        for process in self.processes:
            self._start(process)
        self._tell()
        if await self._told() != RECORDED:
            log.error("whoever started this lab ended before it was on record: so does the lab")
            return
        os.close(self.told_fd)
        await stop.wait()

    async def _told(self) -> bytes:
        """What whoever started this lab says, or nothing at its end. No thread reads: none may run while we fork."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.told_fd, readable.set)
        await readable.wait()
        loop.remove_reader(self.told_fd)
        return os.read(self.told_fd, len(RECORDED))

    def _hold(self, faults: Faults) -> None:
        """Have every process be as it is to be: dead, stuck, or running."""
        for process in self.processes:
            former, process.held = process.held, hold(faults, *process.name.split("/"))
            if process.held is How.KILL and process.pid:
                os.kill(process.pid, signal.SIGKILL)
            elif process.pid and How.HANG in (former, process.held) and former is not process.held:
                breaking.hang(process.pid, hung=process.held is How.HANG)
            elif former is How.KILL:
                self._again(process)
            if process.listen_fd is not None and process.held is How.KILL:
                asyncio.get_running_loop().add_reader(process.listen_fd, turn_away, process.listen_fd)
            elif process.listen_fd is not None:
                asyncio.get_running_loop().remove_reader(process.listen_fd)

    def _start(self, process: Process) -> None:
        """Start a server. Its exit is seen by `_bury`."""
        process.pid = fork(process.server)
        process.since = asyncio.get_running_loop().time()
        self.by_pid[process.pid] = process
        log.info("%s runs as pid %d", process.name, process.pid)

    def _bury(self) -> None:
        """Collect every dead child: our own programs, and the orphans that the kernel gives to pid 1.

        While something is being broken this waits: programs run for it whose exit codes are wanted there.
        """
        if self.breaker.busy:
            return
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            process = self.by_pid.pop(pid, None)
            if process is not None:
                self._ended(process, os.waitstatus_to_exitcode(status))

    def _ended(self, process: Process, code: int) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - process.since >= STEADY_SECONDS:
            process.delay = RESTART_FIRST
        process.pid = 0
        process.restarts += 1
        process.last_exit = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        log.warning("%s ended (%s); again in %.1f s", process.name, process.last_exit, process.delay)
        self._tell()
        loop.call_later(process.delay, self._again, process)
        process.delay = min(process.delay * 2, RESTART_MOST)

    def _again(self, process: Process) -> None:
        if process.pid or process.held is How.KILL:
            return
        self._start(process)
        if process.held is How.HANG:
            breaking.hang(process.pid, hung=True)
        self._tell()

    def _tell(self) -> None:
        health = {
            process.name: Health(pid=process.pid, restarts=process.restarts, last_exit=process.last_exit)
            for process in self.processes
        }
        try:
            self.lab.write_health(health)
        except OSError as error:
            log.warning("`isthmus lab status` shows old numbers: %s", error)


def turn_away(listen_fd: int) -> None:
    """Reset a connection: nobody serves this socket now, and as it stays open callers would wait in its queue."""
    with socket.socket(fileno=os.dup(listen_fd)) as listener, contextlib.suppress(BlockingIOError):
        caller, _ = listener.accept()
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.close()


def processes(lab: LabDir, members: tuple[Cluster, ...], listen_fds: list[int]) -> list[Process]:
    """Every process of the lab, API servers first."""
    found = [
        Process(f"{cluster.name}/{name}", server)
        for cluster, listen_fd in zip(members, listen_fds, strict=True)
        for name, server in servers(lab, cluster, listen_fd).items()
    ]
    return sorted(found, key=lambda process: not process.name.endswith("/apiserver"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m isthmus.lab.daemon", description=__doc__)
    parser.add_argument("--dir", required=True, type=Path)
    parser.add_argument("--clusters", required=True, help="names, separated by commas")
    parser.add_argument("--flat", action="store_true", help="pods reach those of other clusters by their addresses")
    parser.add_argument("--nodes", type=int, default=1, help="of each cluster")
    parser.add_argument("--listen-fds", required=True, help="one inherited socket per cluster, separated by commas")
    parser.add_argument("--told-fd", required=True, type=int, help="where RECORDED is read once the lab is on record")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    lab = LabDir(arguments.dir)
    names = tuple(arguments.clusters.split(","))
    members = clusters(names, lab.path, flat=arguments.flat, nodes=arguments.nodes)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"], check=True, timeout=10)
    socket.sethostname("isthmus-lab")
    wait_without_threads()
    asyncio.run(wan.build(members))
    prepare()
    listen_fds = [int(number) for number in arguments.listen_fds.split(",")]
    daemon = Daemon(lab, processes(lab, members, listen_fds), arguments.told_fd, members)
    asyncio.run(daemon.run())


if __name__ == "__main__":
    main()
