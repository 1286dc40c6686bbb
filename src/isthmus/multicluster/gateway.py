"""The gateway of a Link's target: where it is, whether it answers, and what is said of it."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from isthmus.kube.kinds import Object
from isthmus.mesh import gateways
from isthmus.multicluster import conditions, handshake, plans, prober
from isthmus.multicluster.handshake import Finding
from isthmus.multicluster.links import Link
from isthmus.multicluster.liveness import Liveness
from isthmus.multicluster.metrics import Metrics
from isthmus.multicluster.published import GatewayService
from isthmus.multicluster.reachability import Reached
from isthmus.multicluster.status import Condition
from isthmus.multicluster.whereabouts import Whereabouts
from isthmus.resources.multicluster import Link as LinkView

_LATENCY_EVERY: Final = 30.0
"""The latency of every probe is in the metrics; the status keeps a recent one without a write for each probe."""


class Gateway:
    """Of one Link, which may have none; goes on with what the Link's status said before."""

    def __init__(
        self,
        link: Link,
        *,
        probe_url: Callable[[int], str],
        metrics: Metrics,
        status: Callable[[], Mapping[str, Any]],
        raw: Callable[[], Object | None],
        moved: Callable[[], None],
        news: Callable[[], None],
        turned: Callable[[bool], None],
    ) -> None:
        """`status` and `raw` are the Link's now.

        `moved` hears that mirrors have to follow, `news` that the status has to, `turned` whether it is alive again.
        """
        self._link = link
        self._metrics = metrics
        self._status = status
        self._raw = raw
        self._moved = moved
        self._news = news
        self._turned = turned
        self._where: Whereabouts | None = None
        if link.gateways:
            self._where = Whereabouts(link, status(), url=probe_url, changed=moved)
        self._liveness = Liveness("Down" if status().get("alive") == "False" else "Probing")
        self._latency: tuple[float, float | None] = (0.0, None)
        self._probe_url = probe_url(link.probe.port)

    async def run(self) -> None:
        self._metrics.gateway(self._link.target, enabled=bool(self._link.gateway_hosts))
        if self._where is None:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._where.run())
            group.create_task(
                prober.probe(
                    self._probe_url, self._link.probe, self._liveness, told=self._probed, examine=self._examine
                )
            )

    def publishes(self, service: GatewayService | None) -> None:
        """What the target's gateway Service says."""
        if self._where is not None:
            self._where.publishes(service)

    # --- what is known --------------------------------------------------------------------------------------------
    @property
    def known(self) -> bool:
        """Whether its names were looked up once."""
        return self._where is None or self._where.known

    @property
    def planned(self) -> plans.Gateway | None:
        """As mirrors show it."""
        return self._where.gateway(self._liveness) if self._where else None

    @property
    def reached(self) -> tuple[Reached, ...] | None:
        """Each of its addresses; None while they are not known."""
        if self._where is None:
            return ()
        return self._where.state(self._liveness, self._latency[1]) if self._where.known else None

    @property
    def latency_ms(self) -> float | None:
        return self._latency[1]

    @property
    def text(self) -> str:
        """Where it is, as a Link writes it."""
        return self._where.text if self._where else ""

    def condition(self, *, reachable: bool) -> Condition:
        """`reachable` is whether the target's API server answers."""
        where = self._where
        found = conditions.gateway_alive(
            self._link,
            self._liveness,
            where=", ".join(map(str, where.hosts)) if where else "",
            problem=where.problem if where and not where.addresses else "",
            reachable=reachable,
        )
        remark = where.problem if where and where.addresses else ""
        return replace(found, message=f"{found.message} {remark}") if remark else found

    # --- probes ---------------------------------------------------------------------------------------------------
    def _probed(self, liveness: Liveness, successful: bool) -> None:
        before, self._liveness = self._liveness, liveness
        self._metrics.probed(self._link.target, successful=successful, latency_ms=liveness.latency_ms)
        self._metrics.alive(self._link.target, alive=liveness.alive, latency_ms=liveness.latency_ms)
        now = time.monotonic()
        if liveness.words != before.words:
            self._news()
        if liveness.state != before.state or now - self._latency[0] > _LATENCY_EVERY:
            self._latency = (now, liveness.latency_ms)
            self._news()
        if liveness.alive != before.alive:
            self._moved()
            self._turned(liveness.alive)

    async def _examine(self) -> Finding | None:
        """What is wrong with its addresses, when probes fail: with the first that is not as it should be."""
        expected, roots = self._expected_identity(), str(self._status().get("trustBundle") or "")
        found = await asyncio.gather(
            *(
                handshake.examine(address.host, address.port, expected=expected, roots=roots)
                for address in (self._where.addresses if self._where else ())
            )
        )
        return next((finding for finding in found if finding), None)

    def _expected_identity(self) -> str:
        """The SPIFFE ID that it must prove, "" while that is not known."""
        try:
            identity = gateways.identity(msgspec.convert((self._raw() or {}) | {"status": self._status()}, LinkView))
        except msgspec.ValidationError:
            return ""
        return identity.spiffe_id if identity else ""
