"""The one owner of all federated Services: every Link tells its members, and what is planned for all is applied."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from isthmus import names
from isthmus.kube import errors
from isthmus.kube.events import Recorder, reference
from isthmus.kube.meta import Key
from isthmus.kube.watch import Signal
from isthmus.multicluster import federated
from isthmus.multicluster.apply import apply, create_namespaces
from isthmus.multicluster.diff import Delete, Patch, federated_diff
from isthmus.multicluster.federated import Membership
from isthmus.multicluster.local import Local
from isthmus.multicluster.mirroring import judged
from isthmus.multicluster.objects import SERVICES, Service, is_federated
from isthmus.multicluster.plans import Outcome
from isthmus.multicluster.settings import Settings

log = logging.getLogger(__name__)

_RETRY: Final = 2.0
Told = Callable[[Key, tuple[Outcome, ...]], None]
"""Called with a Link's key and what became of its members."""


class Federation:
    """`run` keeps federated Services what they should be; wake it when the members of a Link changed."""

    def __init__(
        self,
        local: Local,
        memberships: Callable[[], Iterable[Membership]],
        *,
        settings: Settings,
        recorder: Recorder,
        told: Told,
    ) -> None:
        self._local = local
        self._memberships = memberships
        self._settings = settings
        self._recorder = recorder
        self._told = told
        self._changed = Signal()
        self._writing = asyncio.Lock()
        self._refused: frozenset[Outcome] = frozenset()
        local.on_service_change(self._service_changed)
        local.on_namespace_change(self._changed.set)

    def wake(self, *_: object) -> None:
        self._changed.set()

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        for item in (old, new):
            if item and (item.metadata.name.endswith(federated.SUFFIX) or federated.is_local_member(item)):
                self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        complete = True
        self._changed.set()
        while True:
            await self._changed.wait(None if complete else _RETRY)
            async with self._writing:
                complete = await self._once()

    async def _once(self) -> bool:
        """Whether everything could be written."""
        services, namespaces = self._local.services, self._local.namespaces
        planned = federated.plan(self._memberships(), local=services, namespaces=namespaces, settings=self._settings)
        failures = dict(await apply(self._local.client, federated_diff(planned.services, services)))
        if self._settings.create_namespaces:
            failures |= await self._create_namespaces(planned.outcomes)
        for key, error in failures.items():
            log.warning("federated service %s/%s: %s", *key, error)
        for link, outcomes in planned.outcomes.items():
            self._told(link, tuple(judged(outcome, failures) for outcome in outcomes))
        self._tell_local(judged(outcome, failures) for outcome in planned.local)
        return not failures

    async def _create_namespaces(self, outcomes: Mapping[Key, tuple[Outcome, ...]]) -> Mapping[Key, errors.KubeError]:
        targets = {each.link.key: each.link.target for each in self._memberships()}
        failures: dict[Key, errors.KubeError] = {}
        for link, found in outcomes.items():
            if link in targets:
                failures |= await create_namespaces(self._local.client, found, targets[link])
        return failures

    def _tell_local(self, outcomes: Iterable[Outcome]) -> None:
        """Members of this cluster have no Link in whose status their owner could look: an event tells."""
        refused = frozenset(outcome for outcome in outcomes if not outcome.mirrored)
        for outcome in refused - self._refused:
            log.warning("%s/%s is not federated: %s", *outcome.remote, outcome.message)
            service = self._local.services.get(outcome.remote)
            if service is not None:
                about = reference(SERVICES, service)
                self._recorder.record(about, "ServiceMirroringSkipped", outcome.message, type="Warning")
        self._refused = refused

    async def leave(self, target: str) -> None:
        """Take a cluster out of all federated Services, as the API server has them now. Raises if that is not done."""
        async with self._writing:
            found = await self._local.client.list(SERVICES, labels=f"{names.MIRRORED_SERVICE_LABEL}=true")
            failures = await apply(
                self._local.client,
                [change for service in found if is_federated(service) and (change := without(service, target))],
            )
        if failures:
            raise next(iter(failures.values()))


def without(service: Service, target: str) -> Patch | Delete | None:
    """How a cluster leaves a federated Service; None if it is no member."""
    members = federated.remote_members(service)
    rest = [f"{name}@{cluster}" for name, cluster in members if cluster != target]
    if len(rest) == len(members):
        return None
    if not rest and names.LOCAL_DISCOVERY_ANNOTATION not in service.metadata.annotations:
        return Delete(SERVICES, service.key)
    annotations = {names.REMOTE_DISCOVERY: ",".join(rest) or None}
    return Patch(SERVICES, service.key, {"metadata": {"annotations": annotations}})
