"""The IP addresses of a gateway: those given, and those that its names resolve to, looked up again and again.

This process looks names up for all proxies, and tells them through the Link's status: a changed record is followed
everywhere at once, however many proxies there are, and an outage of the DNS changes nothing.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from isthmus.kube.watch import Signal
from isthmus.resources import gateways
from isthmus.resources.gateways import Host

EVERY: Final = 5.0
"""Seconds between look-ups. The cluster's DNS answers from memory for as long as a record may be kept."""
MOST: Final = 16
"""So many addresses of one gateway are used."""
_TIMEOUT: Final = 5.0
_RETRY: Final = 2.0


@dataclass(frozen=True, slots=True)
class Found:
    """Where a gateway is: each address with the name it comes from ("" when it was given as an address)."""

    addresses: tuple[tuple[Host, str], ...] = ()
    problem: str = ""


class Addresses:
    """Follows the hosts that it was told last; `told` is called when what was found is different.

    `known` is what names resolved to before: a name that does not resolve keeps its addresses.
    """

    def __init__(self, told: Callable[[Found], None], *, known: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._told = told
        self._known: dict[str, tuple[str, ...]] = dict(known or {})
        self._hosts: tuple[Host, ...] = ()
        self._changed = Signal()
        self.found: Found | None = None
        """None until there is something to look at, and it was looked at."""

    def use(self, hosts: Iterable[Host]) -> None:
        wanted = tuple(hosts)
        if wanted != self._hosts:
            self._hosts = wanted
            self._changed.set()

    async def run(self) -> None:
        while not self._hosts:
            await self._changed.wait()
        while True:
            hosts = self._hosts
            problems = await self._look_up({host.host for host in hosts if not gateways.address(host.host)})
            if hosts == self._hosts:
                self._tell(Found(self._addresses(), " ".join(problems)))
            await self._changed.wait(_RETRY if problems else EVERY)

    def _addresses(self) -> tuple[tuple[Host, str], ...]:
        found: dict[Host, str] = {}
        for host in self._hosts:
            if gateways.address(host.host):
                found[host] = ""
            for address in self._known.get(host.host, ()):
                found.setdefault(Host(address, host.port), host.host)
        return tuple(list(found.items())[:MOST])

    async def _look_up(self, names: set[str]) -> list[str]:
        """What is wrong with which name."""
        self._known = {name: addresses for name, addresses in self._known.items() if name in names}
        return [problem for problem in await asyncio.gather(*map(self._look, sorted(names))) if problem]

    async def _look(self, name: str) -> str:
        try:
            found = await resolve(name)
        except (OSError, TimeoutError, UnicodeError) as error:
            detail = getattr(error, "strerror", None) or "timed out"
            return f"The gateway's name {name} does not resolve: {detail}."
        usable = tuple(address for address in found if gateways.leads_elsewhere(address))
        if not usable:
            return f"The gateway's name {name} resolves to {', '.join(found)}, which is not in another cluster."
        self._known[name] = usable
        return ""

    def _tell(self, found: Found) -> None:
        if found != self.found:
            self.found = found
            self._told(found)


async def resolve(name: str) -> tuple[str, ...]:
    async with asyncio.timeout(_TIMEOUT):
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(sorted({str(entry[4][0]) for entry in found}))
