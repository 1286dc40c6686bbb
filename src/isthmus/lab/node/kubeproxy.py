"""Service addresses of a node: from Services and EndpointSlices to one nft table."""

import asyncio

from isthmus.lab.client import Client


async def run(client: Client, *, node_ip: str, pod_cidr: str) -> None:
    """Keep the kernel's rules current until cancelled. Must run in the node's network namespace."""
    await asyncio.Event().wait()
