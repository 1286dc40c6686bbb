"""The IP addresses of a gateway: those given, and those that its host names resolve to, looked up again and again."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Final

from isthmus.multicluster.links import is_address

EVERY: Final = 30.0
"""Seconds between look-ups; load balancers of clouds move their names about every minute."""
_TIMEOUT: Final = 5.0
_RETRY: Final = 2.0


async def follow(hosts: Iterable[str], told: Callable[[tuple[str, ...], str], None]) -> None:
    """Tell the addresses and, when a name does not resolve, why. A name that stops resolving keeps its addresses."""
    known: dict[str, tuple[str, ...]] = {host: (host,) if is_address(host) else () for host in hosts}
    names = [host for host in known if not is_address(host)]
    while True:
        problems = []
        for name in names:
            try:
                known[name] = await resolve(name)
            except (OSError, TimeoutError) as error:
                detail = getattr(error, "strerror", None) or "timed out"
                problems.append(f"The gateway's name {name} does not resolve: {detail}.")
        told(tuple(dict.fromkeys(address for found in known.values() for address in found)), " ".join(problems))
        await asyncio.sleep(_RETRY if problems else EVERY)


async def resolve(name: str) -> tuple[str, ...]:
    async with asyncio.timeout(_TIMEOUT):
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(sorted({str(entry[4][0]) for entry in found}))
