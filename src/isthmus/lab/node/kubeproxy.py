"""Service addresses of a node: from Services and EndpointSlices to one nft table."""

import asyncio
import logging
from typing import Final

from isthmus.lab.caches import Caches
from isthmus.lab.client import ENDPOINT_SLICES, SERVICES
from isthmus.lab.node import rules
from isthmus.lab.node.commands import CommandError
from isthmus.lab.node.commands import run as run_command

log = logging.getLogger(__name__)

INTERVAL: Final = 0.02
"""At least this long between two changes of the kernel's rules; what happens meanwhile goes into the next."""
RETRY: Final = 1.0


WATCHED: Final = (SERVICES, ENDPOINT_SLICES)


async def run(caches: Caches, *, api_ip: str, node: str, pod_cidr: str, routed_cidr: str = "") -> None:
    """Keep the kernel's rules current until cancelled. Must run in the node's network namespace."""
    changed = asyncio.Event()
    for resource in WATCHED:
        caches[resource].subscribe(lambda _: changed.set())
    changed.set()
    await caches.synced(*WATCHED)
    applied = ""
    while True:
        await changed.wait()
        changed.clear()
        found = rules.forwards(caches[SERVICES], caches[ENDPOINT_SLICES], api_ip, node)
        text = rules.render(found, pod_cidr, routed_cidr)
        if text != applied:
            applied = text if await _apply(text) else ""
        if not applied:
            changed.set()
        await asyncio.sleep(INTERVAL if applied else RETRY)


async def _apply(text: str) -> bool:
    """Replace the table in one transaction; a refusal leaves the former one in place."""
    try:
        await run_command(["nft", "-f", "-"], text)
    except CommandError as error:
        log.error("the service rules were not accepted, the former ones stay: %s", error)
        return False
    return True
