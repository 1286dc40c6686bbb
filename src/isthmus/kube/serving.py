"""A web application at an address, for as long as somebody needs it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

SHUTDOWN_SECONDS: Final = 5.0
"""For requests that are being answered when it ends."""
KEEPALIVE_SECONDS: Final = 3630.0
"""Longer than a client keeps a connection: it is the one to close it, or requests meet a closed one."""


@asynccontextmanager
async def serving(
    application: web.Application,
    address: str,
    *,
    tls: ssl.SSLContext | None = None,
    keepalive_seconds: float = KEEPALIVE_SECONDS,
) -> AsyncIterator[int]:
    """Serve while the context is open; yields the port, which matters when 0 was asked for."""
    runner = web.AppRunner(
        application,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=keepalive_seconds,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    host, _, port = address.rpartition(":")
    await runner.setup()
    try:
        await web.TCPSite(runner, host.strip("[]") or None, int(port), ssl_context=tls).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
