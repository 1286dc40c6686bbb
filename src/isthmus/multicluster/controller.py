"""One controller for all Links: a worker for each Link that counts, a clean-up for each that is being deleted."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from isthmus import names
from isthmus.kube import errors
from isthmus.kube.client import Client
from isthmus.kube.events import Recorder
from isthmus.kube.kinds import Object
from isthmus.kube.meta import Key
from isthmus.kube.watch import Signal
from isthmus.multicluster import cleanup, conditions, decisions, links
from isthmus.multicluster.federated import Membership
from isthmus.multicluster.federation import Federation
from isthmus.multicluster.links import Link
from isthmus.multicluster.local import Local
from isthmus.multicluster.metrics import Metrics
from isthmus.multicluster.objects import Service, Slice, is_mirror
from isthmus.multicluster.plans import Outcome
from isthmus.multicluster.routes import RouteStatus
from isthmus.multicluster.settings import Settings
from isthmus.multicluster.status import Knowledge
from isthmus.multicluster.worker import Worker, write_status

log = logging.getLogger(__name__)

_RETRY: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
_SWEEP: Final = 60.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is to be done about one Link. A different assignment replaces the task of the one before."""

    link: Link
    rival: Link | None = None


@dataclass(slots=True)
class _Running:
    assignment: Assignment
    task: "asyncio.Task[None]"


class Controller:
    """`run` follows the cluster until cancelled; call it while leading."""

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        linkerd_namespace: str,
        probe_url: Callable[[Link, int], str],
        metrics: Metrics,
        settings: Settings | None = None,
    ) -> None:
        self.local = Local(client, namespace=namespace, linkerd_namespace=linkerd_namespace)
        self._client = client
        self._probe_url = probe_url
        self._metrics = metrics
        self._recorder = Recorder(client, names.MULTICLUSTER_CONTROLLER)
        self._settings = settings or Settings()
        self._federation = Federation(
            self.local,
            self._memberships,
            settings=self._settings,
            recorder=self._recorder,
            told=self._tell_federated,
        )
        self._routes = RouteStatus(self.local)
        self._links_changed = Signal()
        self._assigned = Signal()
        self._workers: dict[Key, Worker] = {}
        self._running: dict[Key, _Running] = {}
        self.local.links.on_change(self._links_changed.set)
        self.local.links.on_change(self._link_changed)
        self.local.on_mirror_change(self._local_change)
        self.local.on_roots_change(self._roots_change)

    async def follow(self) -> None:
        """Keep the caches current; also while another replica leads, so that a takeover is quick."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.local.informers.run())
            group.create_task(self._routes.informers.run())
            group.create_task(self._recorder.run())

    async def lead(self) -> None:
        """Act on what the caches say, until cancelled."""
        await self.local.informers.synced()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(decisions.decide(self.local))
                group.create_task(self._sweep())
                group.create_task(self._federation.run())
                group.create_task(self._routes.run())
                group.create_task(self._supervise(group))
        finally:
            self._running.clear()
            self._workers.clear()

    # --- Links ----------------------------------------------------------------------------------------------------
    def _links(self) -> list[Link]:
        return [links.parse(item) for item in self.local.links.store.values()]

    async def _supervise(self, group: asyncio.TaskGroup) -> None:
        while True:
            current = self._links()
            wanted = {link.key: assignment(link, current) for link in current}
            for key in [key for key, running in self._running.items() if wanted.get(key) != running.assignment]:
                await self._stop(key)
            for key, item in wanted.items():
                if key not in self._running:
                    self._running[key] = _Running(item, group.create_task(self._persist(item)))
            self._assigned.set()
            await self._links_changed.wait()

    async def _stop(self, key: Key) -> None:
        running = self._running.pop(key)
        self._workers.pop(key, None)
        running.task.cancel()
        await asyncio.wait([running.task])

    async def _persist(self, item: Assignment) -> None:
        """Carry out an assignment; one that fails is tried again and disturbs no other."""
        tries = 0
        while True:
            try:
                return await self._work(item)
            except errors.Conflict:
                # The Link changed since it was read; its new version is on the way.
                log.debug("Link %s changed meanwhile", item.link.name)
            except errors.KubeError as error:
                log.warning("Link %s: %s", item.link.name, error)
            except Exception:
                log.exception("Link %s failed in a way that is a defect", item.link.name)
            await asyncio.sleep(_RETRY[min(tries, len(_RETRY) - 1)])
            tries += 1

    async def _work(self, item: Assignment) -> None:
        link = self._fresh(item.link)
        if link.deleting:
            others = (other for other in self._links() if other.key != link.key)
            heir = links.older_link(link, others)
            if heir is None:
                await self._federation.leave(link.target)
            await cleanup.clean_up(self.local, link, recorder=self._recorder, kept_by=heir)
            if heir is None:
                self._metrics.forget(link.target)
            return
        await cleanup.hold(self._client, link)
        if item.rival is not None:
            await self._refuse(link, item.rival)
            return
        worker = Worker(
            link,
            self.local,
            recorder=self._recorder,
            metrics=self._metrics,
            probe_url=lambda port: self._probe_url(link, port),
            settings=self._settings,
            members_changed=self._federation.wake,
        )
        self._workers[link.key] = worker
        await worker.run()

    def _fresh(self, link: Link) -> Link:
        """The Link with the finalizers and version that it has now."""
        item = self.local.link(link.key)
        return links.parse(item) if item else link

    async def _refuse(self, link: Link, rival: Link) -> None:
        condition = conditions.accepted(link, rival)
        self._recorder.record(link.reference, condition.reason, condition.message, type="Warning")
        known = Knowledge(conditions=(condition,), outcomes=(), federated=())
        item = self.local.link(link.key) or {}
        await write_status(self._client, link, known, dict(item.get("status") or {}))

    # --- federated services ---------------------------------------------------------------------------------------
    def _memberships(self) -> list[Membership]:
        """Every Link that counts, with what its worker knows: a Link that is being followed anew loses nothing."""
        current = self._links()
        return [
            Membership(link, worker.members if (worker := self._workers.get(link.key)) else None)
            for link in current
            if not link.deleting and links.older_link(link, current) is None
        ]

    def _link_changed(self, old: Object | None, new: Object | None) -> None:
        """A Link whose status was written is the same."""
        if old is None or new is None or links.parse(old) != links.parse(new):
            self._federation.wake()

    def _tell_federated(self, link: Key, outcomes: tuple[Outcome, ...]) -> None:
        if worker := self._workers.get(link):
            worker.federated(outcomes)

    # --- what changes in this cluster -----------------------------------------------------------------------------
    def _local_change(self, name: str) -> None:
        for worker in self._workers.values():
            if not name or worker.link.target in name:
                worker.wake()

    def _roots_change(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.own_roots_changed()

    async def _sweep(self) -> None:
        """Remove mirrors of clusters that no Link names: a Link was force-deleted, or points elsewhere now."""
        while True:
            linked = {link.target for link in self._links()}
            for target in sorted(self._mirrored_clusters() - linked):
                await self._remove_orphans(target)
            await self._assigned.wait(_SWEEP)

    async def _remove_orphans(self, target: str) -> None:
        if self.local.links.error is not None:
            return
        log.info("removing the mirrors of %s, which no Link names", target)
        try:
            await cleanup.remove_mirrors(self._client, target)
        except errors.KubeError as error:
            log.warning("the mirrors of %s could not be removed: %s", target, error)

    def _mirrored_clusters(self) -> frozenset[str]:
        found: list[Service | Slice] = [*self.local.services.values(), *self.local.slices.values()]
        named = ((item, item.metadata.labels.get(names.CLUSTER_NAME_LABEL, "")) for item in found)
        return frozenset(target for item, target in named if target and is_mirror(item, target))


def assignment(link: Link, current: Iterable[Link]) -> Assignment:
    """What is to be done about a Link, given all of them."""
    return Assignment(link, None if link.deleting else links.older_link(link, current))
