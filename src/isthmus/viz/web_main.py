"""The process of the page: reads this cluster and those it links to, while somebody watches, and serves one picture."""

import argparse
import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from isthmus import names
from isthmus.kube import admin, process
from isthmus.kube.client import Client, connect
from isthmus.kube.process import until_terminated
from isthmus.viz import api
from isthmus.viz.web_server import Board, Server
from isthmus.viz.web_sources import Sources
from isthmus.viz.web_world import compose

log = logging.getLogger(__name__)
PORT: Final = 8084


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM; the exit code."""
    flags = parser().parse_args(arguments)
    return process.run(run(flags), log_level=flags.log_level)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="viz-web", description=__doc__)
    made.add_argument("--kubeconfig", default=None, help="outside of a cluster")
    made.add_argument("--context", default=None)
    made.add_argument("--listen", default=f"127.0.0.1:{PORT}", help="loopback: the page is for forwarded ports")
    made.add_argument("--admin", default=f"0.0.0.0:{names.CONTROLLER_ADMIN_PORT}")
    made.add_argument(
        "--metrics-api", default=f"http://{names.VIZ_METRICS_API}.{names.VIZ_NAMESPACE}:{api.PORT}", metavar="URL"
    )
    made.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return made


async def run(flags: argparse.Namespace) -> None:
    async with connect(flags.kubeconfig, flags.context, manager="isthmus-viz") as client:
        await Web(flags, client).run()


class Web:
    """The parts, and how a change gets from a source to the browsers."""

    def __init__(self, flags: argparse.Namespace, client: Client) -> None:
        self._flags = flags
        self._board = Board()
        self._changed = asyncio.Event()
        self._sources = Sources(flags.metrics_api, client, self._changed.set)
        self._serving = False

    async def run(self) -> None:
        async with admin.serve(lambda: None if self._serving else "about to serve", address=self._flags.admin):
            await until_terminated(self._sources.run(), self._compose(), self._serve())

    async def _compose(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._board.put(compose(self._sources.seen), time.time())

    async def _serve(self) -> None:
        server = Server(self._board, self._sources.watched, self._ask)
        async with server.serving(self._flags.listen) as port:
            log.info("serving the page", extra={"port": port})
            self._serving = True
            await asyncio.Event().wait()

    async def _ask(self, cluster: str, path: str) -> bytes:
        own = next((name for name, region in self._board.world.regions.items() if region["own"]), "")
        return await self._sources.ask("" if cluster == own else cluster, path)
