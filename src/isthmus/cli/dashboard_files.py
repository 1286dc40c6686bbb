"""The page's files, fetched before the browser asks: it then waits for the page's pod once instead of twenty times."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

NAMED: Final = re.compile(rb'(?:href|src)="(/[\w.-]+)"')
MOST: Final = 50
MOST_BYTES: Final = 4 * 1024 * 1024
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class File:
    headers: Mapping[str, str]
    body: bytes


class Files:
    """What the page names. It stays as it is while the pod lives, and the forwarded port does not live longer."""

    def __init__(self) -> None:
        self._kept: dict[str, File] = {}

    def get(self, path: str) -> File | None:
        return self._kept.get(path)

    async def fetch(self, http: aiohttp.ClientSession) -> None:
        """Keeps what there is; what is not kept is asked for when the browser does."""
        try:
            room = MOST_BYTES
            page = await _file(http, "/", room)
            for path in _named(page.body) if page else ():
                if found := await _file(http, path, room):
                    self._kept[path] = found
                    room -= len(found.body)
        except (aiohttp.ClientError, OSError) as error:  # also TimeoutError
            log.debug("the page's files were not fetched ahead: %s", error)


def _named(page: bytes) -> list[str]:
    return [path.decode() for path in dict.fromkeys(NAMED.findall(page))][:MOST]


async def _file(http: aiohttp.ClientSession, path: str, room: int) -> File | None:
    async with http.get(path, allow_redirects=False) as answer:
        if answer.status != 200 or not 0 < (answer.content_length or 0) <= room:
            return None
        return File(dict(answer.headers), await answer.read())
