"""Files of mounted Secrets and ConfigMaps, and the moment they change.

The kubelet replaces a mounted volume by renaming a link, which inotify reports in ways that differ between volume
kinds; a handful of small files is read again every few seconds instead.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

Contents: TypeAlias = Mapping[str, str]
"""Text by file name; a missing file is absent."""

CHECK_SECONDS: Final = 2.0


def read(*paths: Path) -> Contents:
    """What the files hold now, by base name."""
    found = {}
    for path in paths:
        try:
            found[path.name] = path.read_text()
        except FileNotFoundError:
            continue
    return found


async def changes(*paths: Path, every: float = CHECK_SECONDS) -> AsyncIterator[Contents]:
    """The contents at once, then again whenever any of them differs. Never ends."""
    last: Contents | None = None
    while True:
        now = read(*paths)
        if now != last:
            last = now
            yield now
        await asyncio.sleep(every)
