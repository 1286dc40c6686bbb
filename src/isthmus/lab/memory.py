"""What keeps the lab's servers small and quick: they hold many idle connections and many objects that never end."""

import asyncio.sslproto
import gc
from typing import Final

TLS_READ: Final = 16 * 1024
"""Bytes that are read at once from a TLS connection: a whole record."""


def read_little() -> None:
    """Give each TLS connection a buffer of one record instead of asyncio's 256 KB.

    A node has a watch, and so a connection, per kind of object; both ends would hold 14 MB for reading alone.
    """
    asyncio.sslproto.SSLProtocol.max_size = TLS_READ


def collect_little() -> None:
    """Look through the whole memory for garbage a hundred times less often than usual.

    Stored objects hold no cycles and go when nobody refers to them; a search through thousands of them finds nothing,
    and holds up every watch for as long as it takes (0.5 s with 7,000 objects on a busy machine).
    """
    gc.freeze()
    gc.set_threshold(2000, 10, 1000)
