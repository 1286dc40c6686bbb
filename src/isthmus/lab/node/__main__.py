"""`python -m isthmus.lab.node`: one node of a lab cluster, run inside the node's network namespace."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from isthmus.lab import memory
from isthmus.lab.caches import Caches
from isthmus.lab.client import Client
from isthmus.lab.controllers import manager
from isthmus.lab.images import Images
from isthmus.lab.node import dns, kubeproxy, registration, streams
from isthmus.lab.node.commands import wait_without_threads
from isthmus.lab.node.kubelet import WATCHED, Kubelet

log = logging.getLogger("isthmus.lab.node")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m isthmus.lab.node", description=__doc__)
    parser.add_argument("--cluster", required=True, help="the cluster's name")
    parser.add_argument("--dir", required=True, type=Path, help="the cluster's folder inside the lab's")
    parser.add_argument("--kubeconfig", required=True, type=Path)
    parser.add_argument("--kubelet-socket", required=True, type=Path)
    parser.add_argument("--node-ip", required=True)
    parser.add_argument("--pod-cidr", default="10.244.0.0/16")
    parser.add_argument("--routed-cidr", default="", help="where pods keep their addresses on the way out")
    parser.add_argument("--cluster-domain", default="cluster.local")
    parser.add_argument("--pki-dir", required=True, type=Path)
    parser.add_argument("--load-balancer-cidr", required=True)
    return parser.parse_args(arguments)


async def run(given: argparse.Namespace) -> None:
    """Until the process is told to end."""
    memory.read_little()
    name = f"{given.cluster}-node"
    async with Client.from_kubeconfig(given.kubeconfig) as client:
        caches = Caches(client, {*WATCHED.values(), *kubeproxy.WATCHED, *dns.WATCHED, *manager.WATCHED})
        kubelet = Kubelet(
            client,
            caches,
            cluster=given.cluster,
            node=name,
            address=given.node_ip,
            pod_cidr=given.pod_cidr,
            cluster_domain=given.cluster_domain,
            folder=given.dir,
            images=Images(given.dir.parent),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(caches.run())
            group.create_task(serve(kubelet, given.kubelet_socket))
            group.create_task(kubelet.run())
            group.create_task(
                kubeproxy.run(caches, node_ip=given.node_ip, pod_cidr=given.pod_cidr, routed_cidr=given.routed_cidr)
            )
            group.create_task(dns.run(caches, cluster_domain=given.cluster_domain))
            group.create_task(
                manager.run(
                    client,
                    caches,
                    node_name=name,
                    pki_dir=given.pki_dir,
                    load_balancer_cidr=given.load_balancer_cidr,
                )
            )
            group.create_task(registration.register(client, name=name, address=given.node_ip, pod_cidr=given.pod_cidr))
            stop = asyncio.current_task()
            assert stop is not None
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.cancel)


async def serve(kubelet: Kubelet, socket: Path) -> None:
    """Exec, attach, logs and port-forward, on a unix socket for the API server only."""
    runner = web.AppRunner(streams.app(kubelet), access_log=None)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(socket)).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    given = parse(sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.umask(0o022)  # what is made for containers must be readable by every user in them
    wait_without_threads()
    with suppress(asyncio.CancelledError):
        asyncio.run(run(given))


if __name__ == "__main__":
    main()
