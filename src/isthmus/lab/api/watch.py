"""Watches: store events as lines of JSON, with bookmarks, initial events and the client's selectors."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web

from isthmus.lab.api.bodies import served
from isthmus.lab.api.contracts import ApiError, Object, ResourceInfo
from isthmus.lab.api.selectors import Predicate
from isthmus.lab.api.status import expired
from isthmus.lab.api.store import Event, Expired, Store, Watcher

BOOKMARK_SECONDS: Final = 60.0
_LONGEST: Final = (1800, 3600)
_WRITE_SECONDS: Final = 30.0
_INITIAL_END: Final = "k8s.io/initial-events-end"


@dataclass(frozen=True)
class Request:
    """What one client wants to hear."""

    info: ResourceInfo
    namespace: str
    since: int | None
    """Resume after this revision; None starts with everything there is."""
    matches: Predicate | None
    seconds: int | None
    bookmarks: bool
    initial_events: bool | None
    """True: everything there is, then a bookmark that says so. False: only what comes. None: as `since` says."""
    render: Callable[[Object], Object] | None
    """Turns an object into a Table or metadata alone; None sends it as it is."""


class Watches:
    """Serves watches until `stop`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopping = False

    def stop(self) -> None:
        """End every watch, as a server that shuts down does."""
        self._stopping = True
        self._store.wake_all()

    async def serve(self, request: web.Request, asked: Request) -> web.StreamResponse:
        """Stream until the client goes away, its time is up, or it falls too far behind."""
        from_start = asked.initial_events is True or (asked.since is None and asked.initial_events is None)
        since = None if from_start or (asked.initial_events is False and asked.since is None) else asked.since
        try:
            watcher = self._store.watch(*asked.info.stored, since)
        except Expired as error:
            raise expired(str(error)) from None
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache"})
        with watcher:
            first = self._initial(asked) if from_start else b""
            await response.prepare(request)
            try:
                await self._write(response, first)
                await self._follow(response, watcher, asked)
            except (ConnectionError, TimeoutError):
                return response
        return response

    def _initial(self, asked: Request) -> bytes:
        objects = self._store.list(*asked.info.stored, asked.namespace)
        chosen = [obj for obj in objects if asked.matches is None or asked.matches(obj)]
        lines = [_line("ADDED", _shown(obj, asked)) for obj in chosen]
        if asked.initial_events and asked.bookmarks:
            lines.append(self._bookmark(asked, {_INITIAL_END: "true"}))
        return b"".join(lines)

    async def _follow(self, response: web.StreamResponse, watcher: Watcher, asked: Request) -> None:
        ends = time.monotonic() + (asked.seconds or random.randint(*_LONGEST))  # noqa: S311 (spreads reconnects)
        bookmark_at = time.monotonic() + BOOKMARK_SECONDS
        while not self._stopping:
            now = time.monotonic()
            if now >= ends:
                if asked.bookmarks:
                    await self._write(response, self._bookmark(asked, {}))
                return
            if now >= bookmark_at:
                bookmark_at = now + BOOKMARK_SECONDS
                if asked.bookmarks:
                    await self._write(response, self._bookmark(asked, {}))
            events = await watcher.next(min(ends, bookmark_at) - now)
            await self._write(response, b"".join(_encode(event, asked) for event in events))
            if watcher.overflowed:
                await self._write(
                    response, _line("ERROR", expired("this watch fell too far behind; list again").status())
                )
                return

    @staticmethod
    async def _write(response: web.StreamResponse, data: bytes) -> None:
        if data:
            async with asyncio.timeout(_WRITE_SECONDS):
                await response.write(data)

    def _bookmark(self, asked: Request, annotations: dict[str, str]) -> bytes:
        metadata: dict[str, Any] = {"resourceVersion": str(self._store.revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        if asked.render is not None:
            rendered = asked.render({"metadata": {"name": "", **metadata}, "kind": asked.info.kind})
            if rendered["kind"] == "Table":
                rendered = rendered | {"rows": [], "metadata": {k: v for k, v in metadata.items() if v is not None}}
            return _line("BOOKMARK", rendered)
        return _line("BOOKMARK", {"kind": asked.info.kind, "apiVersion": asked.info.api_version, "metadata": metadata})


def _encode(event: Event, asked: Request) -> bytes:
    """The line for one event; empty when it does not concern this watch."""
    if asked.namespace and event.key[0] != asked.namespace:
        return b""
    kind: str = event.type
    if asked.matches is not None:
        kind = _seen_through(event, asked.matches)
        if not kind:
            return b""
    if asked.render is not None:
        return _line(kind, _shown(event.obj, asked))
    cached = f"{kind} {asked.info.api_version}"
    if cached not in event.encoded:
        event.encoded[cached] = _line(kind, _shown(event.obj, asked))
    return event.encoded[cached]


def _seen_through(event: Event, matches: Predicate) -> str:
    """What an event is to someone who sees only some objects: leaving the selection is a deletion."""
    before = event.old is not None and matches(event.old)
    after = event.type != "DELETED" and matches(event.obj)
    if before and after:
        return "MODIFIED"
    if after:
        return "ADDED"
    return "DELETED" if before else ""


def _shown(obj: Object, asked: Request) -> Object:
    obj = served(asked.info, obj)
    return obj if asked.render is None else asked.render(obj)


def _line(kind: str, obj: Object) -> bytes:
    return msgspec.json.encode({"type": kind, "object": obj}) + b"\n"


def since(text: str) -> int | None:
    """A resourceVersion to resume from; raises `ApiError` 400. "" and "0" mean: from what there is."""
    if text in ("", "0"):
        return None
    if not text.isdecimal() or not text.isascii():
        raise ApiError(400, "BadRequest", f'Invalid value: "{text}": a resourceVersion is a number')
    return int(text)
