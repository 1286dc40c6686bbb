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
from isthmus.lab.client import SERVICES, Client
from isthmus.lab.controllers import manager
from isthmus.lab.images import Images
from isthmus.lab.node import addresses, dns, kubeproxy, registration, streams
from isthmus.lab.node.commands import wait_without_threads
from isthmus.lab.node.kubelet import WATCHED, Kubelet

log = logging.getLogger("isthmus.lab.node")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m isthmus.lab.node", description=__doc__)
    parser.add_argument("--cluster", required=True, help="the cluster's name")
    parser.add_argument("--name", required=True, help="the node's name")
    parser.add_argument("--lab-dir", required=True, type=Path)
    parser.add_argument("--dir", required=True, type=Path, help="the node's folder")
    parser.add_argument("--kubeconfig", required=True, type=Path)
    parser.add_argument("--kubelet-socket", required=True, type=Path)
    parser.add_argument("--node-ip", required=True)
    parser.add_argument("--api-ip", required=True, help="where the API server is")
    parser.add_argument("--pod-cidr", default="10.244.0.0/16")
    parser.add_argument("--routed-cidr", default="", help="where pods keep their addresses on the way out")
    parser.add_argument("--cluster-domain", default="cluster.local")
    parser.add_argument("--heartbeat", type=float, default=registration.HEARTBEAT, help="seconds between signs of life")
    parser.add_argument("--controllers", action="store_true", help="run the cluster's controllers, too")
    parser.add_argument("--pki-dir", type=Path)
    parser.add_argument("--load-balancer-cidr")
    given = parser.parse_args(arguments)
    if given.controllers and not (given.pki_dir and given.load_balancer_cidr):
        parser.error("--controllers needs --pki-dir and --load-balancer-cidr")
    return given


async def run(given: argparse.Namespace) -> None:
    """Until the process is told to end."""
    memory.read_little()
    async with Client.from_kubeconfig(given.kubeconfig) as client:
        controlled = manager.WATCHED if given.controllers else ()
        caches = Caches(client, {*WATCHED.values(), *kubeproxy.WATCHED, *dns.WATCHED, *controlled})
        kubelet = Kubelet(
            client,
            caches,
            cluster=given.cluster,
            node=given.name,
            address=given.node_ip,
            pod_cidr=given.pod_cidr,
            cluster_domain=given.cluster_domain,
            folder=given.dir,
            images=Images(given.lab_dir),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(caches.run())
            group.create_task(serve(kubelet, given.kubelet_socket))
            group.create_task(kubelet.run())
            group.create_task(
                kubeproxy.run(
                    caches,
                    api_ip=given.api_ip,
                    node=given.name,
                    pod_cidr=given.pod_cidr,
                    routed_cidr=given.routed_cidr,
                )
            )
            group.create_task(addresses.answer(caches[SERVICES], given.name))
            group.create_task(dns.run(caches, cluster_domain=given.cluster_domain))
            if given.controllers:
                group.create_task(
                    manager.run(client, caches, pki_dir=given.pki_dir, load_balancer_cidr=given.load_balancer_cidr)
                )
            group.create_task(
                registration.register(
                    client,
                    name=given.name,
                    address=given.node_ip,
                    pod_cidr=given.pod_cidr,
                    control_plane=given.controllers,
                    heartbeat=given.heartbeat,
                )
            )
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
