"""Everything that goes on for one Link while it exists: connection, gateway, mirrors, status."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from isthmus import names
from isthmus.kube import errors
from isthmus.kube.client import Client, connect
from isthmus.kube.events import Recorder
from isthmus.kube.meta import Key
from isthmus.kube.watch import Signal
from isthmus.mesh import gateways
from isthmus.multicluster import (
    acceptance,
    conditions,
    credentials,
    handshake,
    prober,
    remote,
    status,
    tokens,
)
from isthmus.multicluster.handshake import Finding
from isthmus.multicluster.links import Link
from isthmus.multicluster.liveness import Liveness
from isthmus.multicluster.local import Local
from isthmus.multicluster.metrics import Metrics
from isthmus.multicluster.mirroring import Mirroring
from isthmus.multicluster.objects import LINKS, Secret, Service
from isthmus.multicluster.plans import Gateway, Outcome
from isthmus.multicluster.reachability import Reached
from isthmus.multicluster.registration import Registration
from isthmus.multicluster.remote import Remote
from isthmus.multicluster.renewal import Renewal
from isthmus.multicluster.settings import Settings
from isthmus.multicluster.status import Condition
from isthmus.multicluster.whereabouts import Whereabouts
from isthmus.resources.multicluster import Link as LinkView

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
_LATENCY_EVERY: Final = 30.0
"""The latency of every probe is in the metrics; the status keeps a recent one without a write for each probe."""


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
        self._secret_changed = Signal()
        self._remote: Remote | None = None
        self._registration: Registration | None = None
        self._renewal = Renewal(link, local.client, metrics=metrics, changed=self._status_changed.set)
        self._settled_by = 0.0
        self._connection = Condition("Reachable", "Connecting", f"Connecting to {link.target}.")
        raw = local.link(link.key) or {}
        self._status: dict[str, Any] = dict(raw.get("status") or {})
        self._where: Whereabouts | None = None
        if link.gateways:
            self._where = Whereabouts(link, self._status, url=probe_url, changed=self._moved)
        self._liveness = Liveness("Down" if self._status.get("alive") == "False" else "Probing")
        self._latency: tuple[float, float | None] = (0.0, None)
        self._probe_url = probe_url(link.probe.port)
        self._told: dict[str, str] = {}

    def wake(self) -> None:
        """Something of this cluster changed that may concern the Link."""
        self._changed.set()
        self._secret_changed.set()

    def own_roots_changed(self) -> None:
        if self._remote is not None:
            self._remote.roots_changed.set()

    async def run(self) -> None:
        log.info("linking %s", self.link.target, extra={"link": self.link.name})
        self._metrics.gateway(self.link.target, enabled=bool(self.link.gateway_hosts))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stay_connected())
            group.create_task(self._keep_mirrors())
            group.create_task(self._keep_status())
            if self._where is not None:
                group.create_task(self._where.run())
                group.create_task(
                    prober.probe(
                        self._probe_url, self.link.probe, self._liveness, told=self._probed, examine=self._examine
                    )
                )

    # --- connection -----------------------------------------------------------------------------------------------
    async def _stay_connected(self) -> None:
        while True:
            secret = self._local.secret(self.link)
            try:
                kubeconfig = credentials.kubeconfig(self.link, secret)
                client = connect(kubeconfig, name=self.link.target)
            except credentials.Unusable as problem:
                self._disconnected(Condition("Reachable", problem.reason, str(problem)))
            except errors.ConfigError as error:
                where = f"Secret {self.link.namespace}/{self.link.credentials_secret}"
                self._disconnected(remote.unreachable(self.link, errors.ConfigError(f"{where}: {error}")))
            else:
                assert secret is not None
                await self._use(client, kubeconfig, secret)
                continue
            await self._new_secret(secret)

    def _disconnected(self, condition: Condition) -> None:
        self._connection = condition
        self._remote = self._registration = None
        self._renewal.begin(None)
        self._changed.set()
        self._status_changed.set()

    async def _use(self, client: Client, kubeconfig: bytes, secret: Secret) -> None:
        """Follow the target with these credentials until others are there."""
        self._renewal.begin(kubeconfig)
        self._settle()
        async with client, asyncio.TaskGroup() as group:
            self._remote = Remote(client, self.link, self._changed)
            self._remote.on_gateway_change(self._published)
            self._registration = Registration(self._remote, lambda: self._local.own_roots, self._status_changed)
            self._registration.on_registered = lambda: self._local.remember(self.link, kubeconfig)
            self._registration.accepted = self._accepted_roots
            self._registration.owner = tokens.owner(kubeconfig, names.MULTICLUSTER_NAMESPACE)
            tasks = [
                group.create_task(self._remote.run()),
                group.create_task(self._registration.run()),
                group.create_task(self._renewal.run(client, kubeconfig, secret)),
            ]
            await self._new_secret(secret)
            for task in tasks:
                task.cancel()

    async def _new_secret(self, old: Secret | None) -> None:
        before = old.data if old else None
        while True:
            await self._secret_changed.wait()
            current = self._local.secret(self.link)
            if (current.data if current else None) != before:
                return

    # --- gateway --------------------------------------------------------------------------------------------------
    def _moved(self) -> None:
        """The gateway has other addresses, or another of them answers."""
        self._changed.set()
        self._status_changed.set()

    def _published(self) -> None:
        """The target's gateway Service is known, or different."""
        if self._where is not None and self._remote is not None and self._remote.gateway_known:
            self._where.publishes(self._remote.gateway)

    def _probed(self, liveness: Liveness, successful: bool) -> None:
        before, self._liveness = self._liveness, liveness
        self._metrics.probed(self.link.target, successful=successful, latency_ms=liveness.latency_ms)
        self._metrics.alive(self.link.target, alive=liveness.alive, latency_ms=liveness.latency_ms)
        now = time.monotonic()
        if (liveness.problem, liveness.reason) != (before.problem, before.reason):
            self._status_changed.set()
        if liveness.state != before.state or now - self._latency[0] > _LATENCY_EVERY:
            self._latency = (now, liveness.latency_ms)
            self._status_changed.set()
        if liveness.alive != before.alive:
            self._changed.set()
            self._tell_liveness(liveness)

    def _tell_liveness(self, liveness: Liveness) -> None:
        if liveness.alive:
            self._tell("GatewayAlive", f"The gateway of {self.link.target} answers again.", normal=True)
        else:
            self._tell("GatewayDown", self._gateway_alive().message)

    def _gateway_alive(self) -> Condition:
        where = self._where
        condition = conditions.gateway_alive(
            self.link,
            self._liveness,
            where=", ".join(map(str, where.hosts)) if where else "",
            problem=where.problem if where and not where.addresses else "",
            reachable=self._reachable().reason != "Unreachable",
        )
        remark = where.problem if where and where.addresses else ""
        return replace(condition, message=f"{condition.message} {remark}") if remark else condition

    def _expected_identity(self) -> str:
        """The SPIFFE ID that the gateway must prove, "" while it is not known."""
        raw = self._local.link(self.link.key) or {}
        try:
            identity = gateways.identity(msgspec.convert(raw | {"status": self._status}, LinkView))
        except msgspec.ValidationError:
            return ""
        return identity.spiffe_id if identity else ""

    async def _examine(self) -> Finding | None:
        """What is wrong with the gateway's addresses, when probes fail: with the first that is not as it should be."""
        expected = self._expected_identity()
        found = await asyncio.gather(
            *(
                handshake.examine(
                    address.host,
                    address.port,
                    expected=expected,
                    roots=str(self._status.get("trustBundle") or ""),
                )
                for address in (self._where.addresses if self._where else ())
            )
        )
        return next((finding for finding in found if finding), None)

    def _gateway(self) -> Gateway | None:
        return self._where.gateway(self._liveness) if self._where else None

    # --- mirrors --------------------------------------------------------------------------------------------------
    async def _keep_mirrors(self) -> None:
        tries = 0
        while True:
            try:
                async with asyncio.timeout(_RETRY[min(tries, len(_RETRY)) - 1] if tries else None):
                    await self._changed.wait()
            except TimeoutError:
                log.debug("trying to mirror %s again", self.link.target)
            tries = tries + 1 if await self._mirror() else 0

    async def _mirror(self) -> bool:
        """Whether something could not be written."""
        if self._where is not None and not self._where.known:
            return False
        complete = await self._mirroring.step(self._remote, self._gateway())
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
            try:
                async with asyncio.timeout(unsettled if unsettled > 0 else _LOOK_AT_WATCHES):
                    await self._status_changed.wait()
            except TimeoutError:
                pass
            known = self._knowledge()
            if time.monotonic() < self._settled_by and not known.complete:
                continue
            self._tell_problems(known.conditions)
            accepted = self._accepted_roots()
            self._status = await write_status(self._local.client, self.link, known, self._status)
            if self._remote is not None and self._accepted_roots() != accepted:
                # The target is told, for whoever rotates its roots.
                self._remote.roots_changed.set()
            await asyncio.sleep(_STATUS_PAUSE)

    def _tell_problems(self, now: Sequence[Condition]) -> None:
        """An event for each condition that has become false; those of gateway and mirrors have events of their own."""
        for condition in now:
            before, self._told[condition.type] = self._told.get(condition.type), condition.reason
            wrong = condition.type in _TOLD and condition.status == "False"
            if (wrong or condition.reason in _TOLD_REASONS) and condition.reason != before:
                self._tell(condition.reason, condition.message)

    def _knowledge(self) -> status.Knowledge:
        made = self._mirroring
        roots = self._judge_roots()
        registration = self._registration
        return status.Knowledge(
            conditions=(
                conditions.accepted(self.link, leads_here=self._leads_here()),
                self._reachable(),
                conditions.trust_established(
                    self.link,
                    registration.condition if registration else conditions.trust_pending(self.link),
                    roots,
                    ahead=self._remote.pulse.ahead if self._remote else timedelta(),
                ),
                self._gateway_alive(),
                conditions.synced(self.link, made.outcomes, made.federated, made.failures),
            ),
            outcomes=made.outcomes,
            federated=made.federated,
            latency_ms=self._latency[1],
            gateway_address=self._where.text if self._where else "",
            gateways=self._gateways(),
            roots=roots,
            registered_trust_domain=registration.domain if registration else "",
            registered_roots=registration.roots if registration else "",
            credentials_expire=self._renewal.used.expiry,
        )

    def _gateways(self) -> tuple[Reached, ...] | None:
        if self._where is None:
            return ()
        return self._where.state(self._liveness, self._latency[1]) if self._where.known else None

    def _accepted_roots(self) -> str:
        """Fingerprints of the target's roots that proxies here believe, as the status says."""
        return acceptance.fingerprints(str(self._status.get("trustBundle") or ""))

    def _reachable(self) -> Condition:
        found = self._remote.reachable() if self._remote else self._connection
        return credentials.judged(found, self.link, self._renewal.used, now=time.time())

    def _leads_here(self) -> bool:
        return self._remote is not None and self._remote.is_the_cluster_of(self._local.services)

    def _judge_roots(self) -> acceptance.Verdict | None:
        """What to think of the roots that the target publishes now, beside those of all other Links."""
        live = self._remote.roots if self._remote else None
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
