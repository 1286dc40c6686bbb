"""`python -m isthmus.lab.controllers`: the controllers of a lab cluster with several nodes."""

import argparse
import asyncio
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path

from isthmus.lab import memory
from isthmus.lab.caches import Caches
from isthmus.lab.client import Client
from isthmus.lab.controllers import manager


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m isthmus.lab.controllers", description=__doc__)
    parser.add_argument("--kubeconfig", required=True, type=Path)
    parser.add_argument("--pki-dir", required=True, type=Path)
    parser.add_argument("--load-balancer-cidr", required=True)
    parser.add_argument("--watch-nodes", action="store_true", help="nodes must say that they live")
    return parser.parse_args(arguments)


async def run(given: argparse.Namespace) -> None:
    """Until the process is told to end."""
    memory.read_little()
    stop = asyncio.current_task()
    assert stop is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.cancel)
    async with Client.from_kubeconfig(given.kubeconfig) as client:
        caches = Caches(client, manager.WATCHED)
        async with asyncio.TaskGroup() as group:
            group.create_task(caches.run())
            group.create_task(
                manager.run(
                    client,
                    caches,
                    pki_dir=given.pki_dir,
                    load_balancer_cidr=given.load_balancer_cidr,
                    watch_nodes=given.watch_nodes,
                )
            )


def main() -> None:
    given = parse(sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with suppress(asyncio.CancelledError):
        asyncio.run(run(given))


if __name__ == "__main__":
    main()
