"""The store on disk: every change is a line in a file before it is acknowledged; a server that starts reads them all.

The kernel has a line once `write` returns, so an API server that is killed at any moment loses nothing it has answered
for. Only a machine that loses power may lose the last moments: nothing is flushed to the disk itself.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from isthmus.lab.api.contracts import ApiError, Object
from isthmus.lab.api.store import Event, Kind, Store, key_of

FORGIVEN_BYTES: Final = 32 * 1024 * 1024
"""A file that grew by this much since it was written anew, and to the double, is written anew."""
_FROM: Final = "FROM"
_KEPT: Final = "KEPT"


class Damaged(Exception):
    """A line that cannot be read, with others after it: what the cluster was is not known."""


class Line(msgspec.Struct, frozen=True, array_like=True):
    """First where the file begins (FROM) and what there was (KEPT), then every event since."""

    type: str
    revision: int
    group: str = ""
    resource: str = ""
    obj: Object = {}


_DECODER: Final = msgspec.json.Decoder(Line)


def open_store(path: Path, *, first: int) -> Store:
    """The store as `path` has it, writing on to that file. A new one counts from revision `first`.

    Raises `Damaged` for a file that cannot be read and `OSError` for one that cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = _read(path, first)
    journal = Journal(path, store)
    journal.rewrite()
    store.record = journal.append
    return store


class Journal:
    """Writes down what happens to one store."""

    def __init__(self, path: Path, store: Store) -> None:
        self._path = path
        self._store = store
        self._file = -1
        self._size = 0
        self._limit = 0

    def append(self, kind: Kind, event: Event) -> None:
        """Have an event in the file, whole, or raise `ApiError` with the file as it was."""
        try:
            if self._size > self._limit:
                self.rewrite()
            self._write(_line(kind, event))
        except OSError as error:
            text = f"the change could not be saved in {self._path}: {error.strerror}. Nothing was changed; make room."
            raise ApiError(500, "InternalError", text) from None

    def rewrite(self) -> None:
        """Begin the file anew with what there is now."""
        fresh = self._path.with_suffix(".new")
        content = b"".join(_snapshot(self._store))
        try:
            with open(fresh, "wb", opener=_private) as file:
                file.write(content)
            fresh.replace(self._path)
        finally:
            fresh.unlink(missing_ok=True)
        if self._file >= 0:
            os.close(self._file)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size = len(content)
        self._limit = max(2 * self._size, self._size + FORGIVEN_BYTES)

    def _write(self, line: bytes) -> None:
        written = os.write(self._file, line)
        while written < len(line):
            try:
                written += os.write(self._file, line[written:])
            except OSError:
                os.ftruncate(self._file, self._size)
                raise
        self._size += len(line)


def _read(path: Path, first: int) -> Store:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Store(revision=first)
    *whole, _torn = lines  # a line without its end was never acknowledged
    if not whole:
        return Store(revision=first)
    store = Store()
    for number, text in enumerate(whole, start=1):
        try:
            _replay(store, _DECODER.decode(text))
        except (msgspec.DecodeError, KeyError) as error:
            raise Damaged(f"line {number} of {path} cannot be read ({error})") from None
    return store


def _replay(store: Store, line: Line) -> None:
    kind = (line.group, line.resource)
    if line.type == _FROM:
        store.begin(line.revision)
    elif line.type == _KEPT:
        store.restore(kind, line.obj)
    else:
        key = key_of(line.obj)
        old = store.get(*kind, *key)
        obj = line.obj
        if line.type == "DELETED":
            assert old is not None
            obj = old | {"metadata": old["metadata"] | {"resourceVersion": str(line.revision)}}
        store.take(kind, Event(line.type, line.revision, key, obj, old))  # type: ignore[arg-type]


def _line(kind: Kind, event: Event) -> bytes:
    obj = event.obj
    if event.type == "DELETED":
        obj = {"metadata": {"namespace": event.key[0], "name": event.key[1]}}
    return msgspec.json.encode(Line(event.type, event.revision, *kind, obj)) + b"\n"


def _snapshot(store: Store) -> Iterator[bytes]:
    yield msgspec.json.encode(Line(_FROM, store.revision)) + b"\n"
    for group, resource in store.kinds():
        for obj in store.list(group, resource):
            yield msgspec.json.encode(Line(_KEPT, store.revision, group, resource, obj)) + b"\n"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
