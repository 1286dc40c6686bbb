"""Everything that goes on for one Link while it exists: connection, gateway, mirrors, a status that tells of them."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from isthmus.kube import errors
from isthmus.kube.client import Client
from isthmus.kube.events import Recorder
from isthmus.kube.meta import Key
from isthmus.kube.watch import Signal
from isthmus.multicluster import acceptance, conditions, status
from isthmus.multicluster.connection import Connection
from isthmus.multicluster.gateway import Gateway
from isthmus.multicluster.links import Link
from isthmus.multicluster.local import Local
from isthmus.multicluster.metrics import Metrics
from isthmus.multicluster.mirroring import Mirroring
from isthmus.multicluster.objects import LINKS, Service
from isthmus.multicluster.plans import Outcome
from isthmus.multicluster.settings import Settings
from isthmus.multicluster.status import Condition

log = logging.getLogger(__name__)

_RETRY: Final = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
_LOOK_AT_WATCHES: Final = 1.0
"""Watches do not tell when they fail, so the status looks at them this often."""
_STATUS_PAUSE: Final = 0.2
"""Changes of status that come together are written together."""
_SETTLING: Final = 2.0
"""Seconds in which a Link that was followed before keeps its status while everything is found out anew."""
_TOLD: Final = frozenset({"Accepted", "Reachable", "TrustEstablished"})
_TOLD_REASONS: Final = frozenset({"CredentialsNotRenewed", "ProbeNotKnown", "Unresolvable"})
"""Reasons of other conditions, or of true ones, that are worth an event."""


class Worker:
    """One Link that is neither being deleted nor preceded by another. Ends only by cancellation."""

    def __init__(
        self,
        link: Link,
        local: Local,
        *,
        recorder: Recorder,
        metrics: Metrics,
        probe_url: Callable[[int], str],
        settings: Settings,
        members_changed: Callable[[], None],
    ) -> None:
        self.link = link
        self._mirroring = Mirroring(link, local, settings=settings, tell=self._tell, members_changed=members_changed)
        self._local = local
        self._recorder = recorder
        self._metrics = metrics
        self._changed = Signal()
        self._status_changed = Signal()
        self._settled_by = 0.0
        self._told: dict[str, str] = {}
        self._status: dict[str, Any] = dict((local.link(link.key) or {}).get("status") or {})
        self._gateway = Gateway(
            link,
            probe_url=probe_url,
            metrics=metrics,
            status=lambda: self._status,
            raw=lambda: local.link(link.key),
            moved=self._gateway_moved,
            news=self._status_changed.set,
            turned=self._tell_gateway,
        )
        self._connection = Connection(
            link,
            local,
            metrics=metrics,
            changed=self._changed,
            status_changed=self._status_changed,
            begun=self._settle,
            published=self._gateway_published,
            accepted_roots=self._accepted_roots,
        )

    def wake(self) -> None:
        """Something of this cluster changed that may concern the Link."""
        self._changed.set()
        self._connection.secret_changed()

    def own_roots_changed(self) -> None:
        """The target is told, if it can be."""
        if self._connection.remote is not None:
            self._connection.remote.roots_changed.set()

    async def run(self) -> None:
        log.info("linking %s", self.link.target, extra={"link": self.link.name})
        async with asyncio.TaskGroup() as group:
            group.create_task(self._connection.run())
            group.create_task(self._gateway.run())
            group.create_task(self._keep_mirrors())
            group.create_task(self._keep_status())

    # --- gateway --------------------------------------------------------------------------------------------------
    def _gateway_moved(self) -> None:
        """It has other addresses, or another of them answers."""
        self._changed.set()
        self._status_changed.set()

    def _gateway_published(self) -> None:
        """The target's gateway Service is known, or different."""
        remote = self._connection.remote
        if remote is not None and remote.gateway_known:
            self._gateway.publishes(remote.gateway)

    def _tell_gateway(self, alive: bool) -> None:
        if alive:
            self._tell("GatewayAlive", f"The gateway of {self.link.target} answers again.", normal=True)
        else:
            self._tell("GatewayDown", self._gateway_alive().message)

    def _gateway_alive(self) -> Condition:
        return self._gateway.condition(reachable=self._connection.reachable.reason != "Unreachable")

    # --- mirrors --------------------------------------------------------------------------------------------------
    async def _keep_mirrors(self) -> None:
        tries = 0
        while True:
            await self._changed.wait(_RETRY[min(tries, len(_RETRY)) - 1] if tries else None)
            tries = tries + 1 if await self._mirror() else 0

    async def _mirror(self) -> bool:
        """Whether something could not be written."""
        if not self._gateway.known:
            return False
        complete = await self._mirroring.step(self._connection.remote, self._gateway.planned)
        outcomes = self._mirroring.outcomes
        if outcomes is not None:
            self._metrics.mirrors(self.link.target, sum(outcome.mirrored for outcome in outcomes))
        self._status_changed.set()
        return not complete

    @property
    def members(self) -> Mapping[Key, Service] | None:
        """The target's services that are to be members of federated ones; None while they are not known."""
        return self._mirroring.members

    def federated(self, outcomes: tuple[Outcome, ...]) -> None:
        """What became of the members."""
        if self._mirroring.joined(outcomes):
            self._status_changed.set()

    def _tell(self, reason: str, message: str, *, normal: bool = False) -> None:
        self._recorder.record(self.link.reference, reason, message, type="Normal" if normal else "Warning")

    # --- status ---------------------------------------------------------------------------------------------------
    def _settle(self) -> None:
        """What the Link says was true a moment ago: a changed spec, a new leader or new credentials are no outage."""
        self._settled_by = time.monotonic() + (_SETTLING if self._status.get("conditions") else 0.0)

    async def _keep_status(self) -> None:
        self._settle()
        while True:
            unsettled = self._settled_by - time.monotonic()
            await self._status_changed.wait(unsettled if unsettled > 0 else _LOOK_AT_WATCHES)
            known = self._knowledge()
            if time.monotonic() < self._settled_by and not known.complete:
                continue
            self._tell_problems(known.conditions)
            accepted = self._accepted_roots()
            self._status = await write_status(self._local.client, self.link, known, self._status)
            if self._accepted_roots() != accepted:
                # The target is told, for whoever rotates its roots.
                self.own_roots_changed()
            await asyncio.sleep(_STATUS_PAUSE)

    def _tell_problems(self, now: Sequence[Condition]) -> None:
        """An event for each condition that has become false; those of gateway and mirrors have events of their own."""
        for condition in now:
            before, self._told[condition.type] = self._told.get(condition.type), condition.reason
            wrong = condition.type in _TOLD and condition.status == "False"
            if (wrong or condition.reason in _TOLD_REASONS) and condition.reason != before:
                self._tell(condition.reason, condition.message)

    def _knowledge(self) -> status.Knowledge:
        made, remote = self._mirroring, self._connection.remote
        roots = self._judge_roots()
        registration = self._connection.registration
        return status.Knowledge(
            conditions=(
                conditions.accepted(self.link, leads_here=self._leads_here()),
                self._connection.reachable,
                conditions.trust_established(
                    self.link, self._connection.trust, roots, ahead=remote.pulse.ahead if remote else timedelta()
                ),
                self._gateway_alive(),
                conditions.synced(self.link, made.outcomes, made.federated, made.failures),
            ),
            outcomes=made.outcomes,
            federated=made.federated,
            latency_ms=self._gateway.latency_ms,
            gateway_address=self._gateway.text,
            gateways=self._gateway.reached,
            roots=roots,
            registered_trust_domain=registration.domain if registration else "",
            registered_roots=registration.roots if registration else "",
            credentials_expire=self._connection.credentials_expire,
        )

    def _accepted_roots(self) -> str:
        """Fingerprints of the target's roots that proxies here believe, as the status says."""
        return acceptance.fingerprints(str(self._status.get("trustBundle") or ""))

    def _leads_here(self) -> bool:
        remote = self._connection.remote
        return remote is not None and remote.is_the_cluster_of(self._local.services)

    def _judge_roots(self) -> acceptance.Verdict | None:
        """What to think of the roots that the target publishes now, beside those of all other Links."""
        live = self._connection.remote.roots if self._connection.remote else None
        own, key = self._local.own_roots, self.link.key
        if live is None or own is None:
            return None
        items = self._local.links.store
        claims = [acceptance.linked(item, live if each == key else None) for each, item in items.items()]
        verdicts = acceptance.judge([claim for claim in claims if claim], own, sharing=True, limit=None)
        return verdicts.get(key)


async def write_status(client: Client, link: Link, known: status.Knowledge, before: dict[str, Any]) -> dict[str, Any]:
    """Write what differs; returns what stands in the Link now."""
    rendered = status.render(known, before, now=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    change = {name: value for name, value in rendered.items() if before.get(name) != value}
    if not change:
        return before
    try:
        await client.patch_status(LINKS, link.name, change, link.namespace)
    except errors.NotFound:
        return before
    except errors.KubeError as error:
        log.warning("the status of Link %s could not be written: %s", link.name, error)
        return before
    return before | change
