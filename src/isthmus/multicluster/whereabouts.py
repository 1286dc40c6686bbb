"""Where the gateway of a Link's target is now, as far as it is known here: hosts, their addresses, and which answer."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from isthmus import names
from isthmus.multicluster import published
from isthmus.multicluster.addresses import Addresses, Found
from isthmus.multicluster.links import Link
from isthmus.multicluster.liveness import Liveness
from isthmus.multicluster.plans import Gateway, GatewayAddress
from isthmus.multicluster.published import GatewayService
from isthmus.multicluster.reachability import Reachability, Reached, known
from isthmus.resources import gateways
from isthmus.resources.gateways import Host


class Whereabouts:
    """Of one Link that has a gateway. `changed` is called when something is different.

    A Link that names the gateway's Service follows it. Until that is heard, what was known last counts beside what the
    Link says, which may be newer or older; one of them that is not there any more costs no request.
    """

    def __init__(
        self, link: Link, status: Mapping[str, Any], *, url: Callable[[int], str], changed: Callable[[], None]
    ) -> None:
        before = status.get("gateways") or ()
        self._link = link
        self._changed = changed
        self._addresses = Addresses(self._found, known=known(before))
        self._reachability = Reachability(link.probe, url, changed, before=before)
        self._not_published = ""
        self.hosts = link.gateways
        if link.gateway_service:
            last, _ = gateways.parse(str(status.get("gatewayAddress") or ""), names.GATEWAY_PORT)
            self.hosts = tuple(dict.fromkeys((*link.gateways, *last)))
        self._addresses.use(self.hosts)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._addresses.run())
            group.create_task(self._reachability.run())

    def publishes(self, service: GatewayService | None) -> None:
        """What the target's Service says now; one that says nothing leaves what was known."""
        if self._link.gateway_service is None:
            return
        found = published.hosts(service)
        problem = published.problem(service, "/".join(self._link.gateway_service))
        if found and found != self.hosts:
            self.hosts = found
            self._addresses.use(found)
            self._changed()
        if problem != self._not_published:
            self._not_published = problem
            self._changed()

    @property
    def known(self) -> bool:
        """Whether everything was looked at once."""
        return self._addresses.found is not None

    @property
    def addresses(self) -> tuple[Host, ...]:
        found = self._addresses.found
        return tuple(host for host, _ in found.addresses) if found else ()

    @property
    def problem(self) -> str:
        """Sentences about names and about the Service; the gateway may answer all the same."""
        found = self._addresses.found
        return " ".join(text for text in (found.problem if found else "", self._not_published) if text)

    @property
    def text(self) -> str:
        """The hosts as a Link writes them, each with its port."""
        return ",".join(map(str, self.hosts))

    def state(self, liveness: Liveness, latency_ms: float | None) -> tuple[Reached, ...]:
        return self._reachability.state(liveness, latency_ms)

    def gateway(self, liveness: Liveness) -> Gateway:
        reached = self.state(liveness, None)
        return Gateway(
            tuple(GatewayAddress(each.host.host, each.host.port, each.probe_port, not each.silent) for each in reached),
            self._link.gateway_identity,
            liveness.alive,
        )

    def _found(self, found: Found) -> None:
        self._reachability.use(found.addresses)
        self._changed()
