"""The metrics API: reads the proxies of its cluster, keeps the last minutes, answers `linkerd viz`."""

import argparse
import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from isthmus import names
from isthmus.kube import admin, process
from isthmus.kube.client import Client, connect
from isthmus.kube.process import until_terminated
from isthmus.viz import api, prometheus, targets
from isthmus.viz.observe import Observer
from isthmus.viz.scrape import Metrics, Scraper
from isthmus.viz.server import Server
from isthmus.viz.stat import View
from isthmus.viz.web_pages import Pages

log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM; the exit code."""
    flags = parser().parse_args(arguments)
    return process.run(run(flags), log_level=flags.log_level)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="viz-metrics-api", description=__doc__)
    made.add_argument("--kubeconfig", default=None, help="outside of a cluster")
    made.add_argument("--context", default=None)
    made.add_argument("--listen", default=f"0.0.0.0:{api.PORT}")
    made.add_argument("--admin", default=f"0.0.0.0:{names.CONTROLLER_ADMIN_PORT}")
    made.add_argument("--cluster-name", default="", help="what the page calls this cluster")
    made.add_argument("--prometheus-url", default="", help="where Prometheus answers, if there is one")
    made.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return made


async def run(flags: argparse.Namespace) -> None:
    async with connect(flags.kubeconfig, flags.context, manager="isthmus-viz") as client:
        await MetricsApi(flags, client).run()


def steady_clock() -> Callable[[], float]:
    """The time of day as it was at the start and has passed since, whatever is done to the machine's clock."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class MetricsApi:
    """The parts, and the order in which they begin."""

    def __init__(self, flags: argparse.Namespace, client: Client) -> None:
        self._flags = flags
        self._observer = Observer(client)
        self._clock = steady_clock()
        self._scraper = Scraper(lambda: self._observer.targets, self._clock, metrics=Metrics())
        self._pages = Pages(client, self._observer, self._scraper, clock=self._clock, name=flags.cluster_name)
        self._serving = False

    async def run(self) -> None:
        async with admin.serve(self._ready, address=self._flags.admin):
            await until_terminated(
                self._observer.informers.run(), self._pages.informers.run(), self._scrape(), self._serve()
            )

    async def _scrape(self) -> None:
        await self._observer.informers.synced()
        await self._scraper.run()

    async def _serve(self) -> None:
        pages = self._pages.handlers(self.view)
        server = Server(self.view, self._scraper.fresh, self.status, self.targets, pages=pages)
        async with server.serving(self._flags.listen) as port:
            log.info("answering questions", extra={"port": port})
            self._serving = True
            await asyncio.Event().wait()

    def view(self) -> View:
        """Everything that is known now."""
        targets = self._observer.targets
        known = [(each.target, each.history) for each in self._scraper.known]
        gone = {(target.namespace, target.name): target for target, _ in known}
        return View(
            now=self._clock(),
            began=self._scraper.began,
            pods=targets,
            histories=known,
            splits=self._observer.splits,
            problems=tuple(self._scraper.problems()),
            by_name=gone | {(target.namespace, target.name): target for target in targets},
            trust_domain=self._pages.trust_domain,
        )

    async def status(self) -> api.Status:
        """How this process and its Prometheus are."""
        known = [each for each in self._scraper.known if each.asked]
        return api.Status(
            pods=sum(1 for each in known if not each.error),
            series=sum(each.history.size for each in known),
            covered=self._clock() - self._scraper.began if self._scraper.began else 0.0,
            problems=tuple(self._scraper.problems()),
            prometheus=await prometheus.state(self._flags.prometheus_url),
        )

    def targets(self, job: str) -> list[targets.Group]:
        """What Prometheus is to scrape for a job."""
        return targets.of_job(job, self._observer.pods())

    def _ready(self) -> str | None:
        if waiting := self._observer.informers.waiting_for() or self._pages.informers.waiting_for():
            return waiting
        if not self._scraper.began:
            return "reading the proxies for the first time"
        return None if self._serving else "about to serve"
