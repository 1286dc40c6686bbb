"""A local copy of the objects of one kind that follows the API server: list, watch, and list again when it must.

The copy is level-triggered: handlers learn the old and the new value of an object, never an event. While the API server
is away the last known objects stay. After a gap the list is compared with the copy, so that deletions which happened
meanwhile are noticed.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

import msgspec

from isthmus.kube import errors, requests
from isthmus.kube.client import Client
from isthmus.kube.kinds import Kind
from isthmus.kube.meta import Key, key_of, resource_version_of
from isthmus.kube.requests import Request

T = TypeVar("T")

Handler = Callable[[T | None, T | None], None]
"""Called with the old and the new value, one of which may be None. Must not block or raise."""

log = logging.getLogger(__name__)

_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 5.0
"""What is known is stale until the next try, and a handful of processes harm no server that comes back."""
_ABSENT_SECONDS: Final = 1.0
"""How soon a kind that was not known is asked for again."""
_SERVER_SECONDS: Final = (240, 480)
"""The server ends a watch after this long, at random, so that clients do not come back all at once."""


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _BookmarkMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""


class _Bookmark(msgspec.Struct, frozen=True):
    metadata: _BookmarkMeta = _BookmarkMeta()


class _Failure(msgspec.Struct, frozen=True):
    code: int = 500
    reason: str = ""
    message: str = ""


class Informer(Generic[T]):
    """Objects of one kind, optionally of one namespace or matching selectors; `run()` keeps them current."""

    def __init__(
        self,
        client: Client,
        kind: Kind[T],
        *,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        optional: bool = False,
        longest_delay: float = _LONGEST_DELAY,
        absent_seconds: float = _ABSENT_SECONDS,
    ) -> None:
        """With `optional`, a kind that the API server does not know (yet) counts as a kind without objects.

        So does one that may not be read, after an upgrade whose roles were not applied; that is an error all the same.
        A kind that was not known is asked for again after `absent_seconds`.
        `longest_delay` bounds the seconds between tries, for what is expected to become readable at any moment.
        """
        self.client = client
        self.kind = kind
        self.namespace = namespace
        self.labels = labels
        self.fields = fields
        self.optional = optional
        self.longest_delay = longest_delay
        self.absent_seconds = absent_seconds
        self.store: dict[Key, T] = {}
        self.synced = asyncio.Event()
        """Set by the first complete list, and from then on."""
        self.error: errors.KubeError | None = None
        """Why the copy is not current, None while it is."""
        self._handlers: list[Handler[T]] = []
        self._version = ""
        """Where the watch continues; "" asks for a new list."""
        self._delay = _FIRST_DELAY

    def on_change(self, handler: Handler[T]) -> None:
        """Call `handler` for every difference from now on, and at once for what is already here."""
        self._handlers.append(handler)
        for item in list(self.store.values()):
            handler(None, item)

    def get(self, name: str, namespace: str = "") -> T | None:
        return self.store.get((namespace, name))

    async def run(self) -> None:
        """Follow the API server until cancelled; failures are logged when they begin and when they end."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except errors.Gone as error:
                log.info("listing %s again: %s", self.kind.describe(self.namespace), error)
                self._version = ""
            except errors.NotFound as error:
                self._version = ""
                if not self.optional:
                    self._failed(error)
                else:
                    self._absent()
                    await asyncio.sleep(self.absent_seconds)
                    continue
            except errors.Forbidden as error:
                self._version = ""
                self._failed(error)
                if self.optional:
                    self.synced.set()
            except errors.Unreachable as error:
                # A broken connection loses nothing: the watch continues from the last version seen.
                self._failed(error)
            except errors.KubeError as error:
                self._version = ""
                self._failed(error)
            else:
                continue
            await asyncio.sleep(self._delay * random.uniform(0.5, 1.5))  # noqa: S311
            self._delay = min(self._delay * 2, self.longest_delay)

    async def _list(self) -> None:
        fresh: dict[Key, T] = {}
        version = ""
        async for page in self.client.pages(self.kind, self.namespace, labels=self.labels, fields=self.fields):
            version = page.metadata.resource_version
            fresh.update((key_of(item), item) for item in page.items or ())
        for key in self.store.keys() - fresh.keys():
            self._remove(key)
        for key, item in fresh.items():
            self._put(key, item)
        self._version = version
        self._heard()
        self.synced.set()

    async def _watch(self) -> None:
        """Follow changes until the server ends the watch."""
        seconds = random.randint(*_SERVER_SECONDS)  # noqa: S311
        params = requests.selection(self.labels, self.fields) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(seconds),
        }
        about = self.kind.describe(self.namespace)
        request = Request("GET", self.kind.path(self.namespace), about, dict, verb="watch", params=params)
        started = time.monotonic()
        async with self.client.stream(request, idle_seconds=seconds + 15) as lines:
            self._heard()
            async for line in lines:
                self._receive(line)
        if time.monotonic() - started < 1:
            await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - a server that ends watches at once
        self._delay = _FIRST_DELAY

    def _receive(self, line: bytes) -> None:
        try:
            event = requests.decoder(_Event).decode(line)
            if event.type == "ERROR":
                raise self._refused(requests.decoder(_Failure).decode(event.object))
            if event.type == "BOOKMARK":
                self._version = requests.decoder(_Bookmark).decode(event.object).metadata.resource_version
                self._heard()
                return
            item = requests.decoder(self.kind.decode_as).decode(event.object)
        except requests.UNREADABLE as error:
            log.warning("skipped an object of %s that cannot be read: %s", self.kind.describe(self.namespace), error)
            return
        self._version = resource_version_of(item)
        self._delay = _FIRST_DELAY
        self._heard()
        if event.type == "DELETED":
            self._remove(key_of(item))
        else:
            self._put(key_of(item), item)

    def _refused(self, failure: _Failure) -> errors.ApiError:
        return errors.api_error(
            failure.code,
            reason=failure.reason,
            message=failure.message,
            server=self.client.server,
            about=self.kind.describe(self.namespace),
            verb="watch",
        )

    def _absent(self) -> None:
        for key in list(self.store):
            self._remove(key)
        self._heard()
        self.synced.set()

    def _put(self, key: Key, item: T) -> None:
        old = self.store.get(key)
        if old is not None and resource_version_of(old) == resource_version_of(item):
            return
        self.store[key] = item
        self._tell(old, item)

    def _remove(self, key: Key) -> None:
        old = self.store.pop(key, None)
        if old is not None:
            self._tell(old, None)

    def _tell(self, old: T | None, new: T | None) -> None:
        for handler in self._handlers:
            handler(old, new)

    def _heard(self) -> None:
        if self.error is not None:
            log.info("following %s of %s again", self.kind.describe(self.namespace), self.client.server)
            self.error = None

    def _failed(self, error: errors.KubeError) -> None:
        if self.error is None:
            kept = f"; keeping the {len(self.store)} known" if self.synced.is_set() else ""
            log.warning("cannot follow %s%s: %s", self.kind.describe(self.namespace), kept, error)
        self.error = error


class Signal:
    """Wakes whoever waits for a change; changes that come together wake it once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self, *_: Any) -> None:
        """Also usable as a handler of an informer."""
        self._event.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Return when there was a change since the last return, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()
