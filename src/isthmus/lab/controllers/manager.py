"""Runs every controller of one cluster on shared watch caches."""

import asyncio
from pathlib import Path

from isthmus.lab.client import Client


async def run(client: Client, *, node_name: str, pki_dir: Path, load_balancer_cidr: str) -> None:
    """Run until cancelled. Must run in the node's network namespace: load-balancer addresses go to its eth0."""
    await asyncio.Event().wait()
