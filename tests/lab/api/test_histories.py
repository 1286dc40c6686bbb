"""Long histories: the store against a model of it, and the owners of fields against what ownership means.

`ISTHMUS_LONG_HISTORIES=1` tries many more and longer ones.
"""

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from isthmus.lab.api import apply
from isthmus.lab.api.apply import Managers, Owner
from isthmus.lab.api.contracts import ApiError
from isthmus.lab.api.journal import open_store
from isthmus.lab.api.listtypes import BuiltInShapes
from isthmus.lab.api.store import Event, Exists, Expired, Missing, Store, Watcher

LONG = bool(os.environ.get("ISTHMUS_LONG_HISTORIES"))
PROFILE = settings(
    max_examples=1000 if LONG else 50,
    stateful_step_count=100 if LONG else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
KINDS = st.sampled_from(["things", "others"])
NAMES = st.sampled_from(["a", "b"])
NAMESPACES = st.sampled_from(["n", "m"])
Entry = tuple[str, int, tuple[str, str], Any]
"""Type, revision, key and value of an event, as the model has it."""


def _entries(events: list[Event]) -> list[Entry]:
    return [(event.type, event.revision, event.key, event.obj["value"]) for event in events]


class StoreHistory(RuleBasedStateMachine):
    """Objects of two kinds are written, watched and forgotten; the server restarts in between."""

    watchers = Bundle("watchers")

    def __init__(self) -> None:
        super().__init__()
        self.ending = contextlib.ExitStack()
        self.loop = self.ending.enter_context(asyncio.Runner())
        folder = self.ending.enter_context(tempfile.TemporaryDirectory(prefix="isthmus-history-"))
        self.path = Path(folder, "store.journal")
        self.objects: dict[str, dict[tuple[str, str], Any]] = {"things": {}, "others": {}}
        self.happened: dict[str, list[Entry]] = {"things": [], "others": []}
        self.moments: dict[int, dict[str, dict[tuple[str, str], Any]]] = {}
        self.oldest = {"things": 100, "others": 100}
        self.count = 0
        self.store = open_store(self.path, first=100)
        self.file_begins = 100
        self._remember()

    def teardown(self) -> None:
        self._close()
        self.ending.close()

    def _close(self) -> None:
        """As the end of a process does."""
        os.close(self.store.record.__self__._file)

    def _remember(self) -> None:
        self.moments[self.store.revision] = {kind: dict(objects) for kind, objects in self.objects.items()}

    def _object(self, namespace: str, name: str) -> dict[str, Any]:
        self.count += 1
        return {"metadata": {"namespace": namespace, "name": name}, "value": self.count}

    def _happened(self, kind: str, type_: str, key: tuple[str, str], obj: dict[str, Any]) -> None:
        self.happened[kind].append((type_, self.store.revision, key, obj["value"]))
        assert obj["metadata"]["resourceVersion"] == str(self.store.revision)
        self._remember()

    @rule(kind=KINDS, namespace=NAMESPACES, name=NAMES)
    def create(self, kind: str, namespace: str, name: str) -> None:
        key, before = (namespace, name), self.store.revision
        if key in self.objects[kind]:
            with pytest.raises(Exists):
                self.store.create("", kind, self._object(namespace, name))
            assert self.store.revision == before
            return
        stored = self.store.create("", kind, self._object(namespace, name))
        self.objects[kind][key] = stored["value"]
        self._happened(kind, "ADDED", key, stored)

    @rule(kind=KINDS, namespace=NAMESPACES, name=NAMES)
    def update(self, kind: str, namespace: str, name: str) -> None:
        key = (namespace, name)
        if key not in self.objects[kind]:
            with pytest.raises(Missing):
                self.store.update("", kind, self._object(namespace, name))
            return
        stored = self.store.update("", kind, self._object(namespace, name))
        self.objects[kind][key] = stored["value"]
        self._happened(kind, "MODIFIED", key, stored)

    @rule(kind=KINDS, namespace=NAMESPACES, name=NAMES)
    def remove(self, kind: str, namespace: str, name: str) -> None:
        key = (namespace, name)
        if key not in self.objects[kind]:
            with pytest.raises(Missing):
                self.store.remove("", kind, namespace, name)
            return
        last = self.store.remove("", kind, namespace, name)
        assert last["value"] == self.objects[kind].pop(key)
        self._happened(kind, "DELETED", key, last)

    @rule(kind=KINDS, data=st.data())
    def forget(self, kind: str, data: st.DataObject) -> None:
        revision = data.draw(st.sampled_from(sorted(self.moments)))
        self.store.forget_before("", kind, revision)
        gone = [entry[1] for entry in self.happened[kind] if entry[1] < revision]
        self.oldest[kind] = max(self.oldest[kind], *gone) if gone else self.oldest[kind]

    @rule()
    def restart(self) -> None:
        """All that the next server knows is in the file: what there is, and what happened since the file was begun."""
        before = {kind: self.store.list("", kind) for kind in self.objects}
        revision = self.store.revision
        self._close()
        self.store = open_store(self.path, first=5)
        assert self.store.revision == revision
        assert {kind: self.store.list("", kind) for kind in self.objects} == before
        self.oldest = dict.fromkeys(self.oldest, self.file_begins)
        self.file_begins = revision
        for kind, oldest in self.oldest.items():
            self._resume(kind, oldest)

    @rule(kind=KINDS, data=st.data())
    def resume(self, kind: str, data: st.DataObject) -> None:
        """From any revision: everything since, in order, or the news that some of it is forgotten."""
        since = data.draw(st.integers(98, self.store.revision + 1))
        if self.oldest[kind] <= since <= self.store.revision:
            self._resume(kind, since)
        else:
            with pytest.raises(Expired):
                self.store.watch("", kind, since)

    def _resume(self, kind: str, since: int) -> None:
        with self.store.watch("", kind, since) as watcher:
            seen = _entries(self.loop.run(watcher.next(0)))
        assert seen == [entry for entry in self.happened[kind] if entry[1] > since]

    @rule(target=watchers, kind=KINDS)
    def watch(self, kind: str) -> tuple[Store, str, Watcher, int]:
        return self.store, kind, self.ending.enter_context(self.store.watch("", kind, None)), self.store.revision

    @rule(watching=consumes(watchers))
    def read_watch(self, watching: tuple[Store, str, Watcher, int]) -> None:
        """Whoever has watched since then has seen all of it, once, and nothing of the other kind."""
        store, kind, watcher, since = watching
        if store is self.store:
            expected = [entry for entry in self.happened[kind] if entry[1] > since]
            assert _entries(self.loop.run(watcher.next(0))) == expected

    @rule(kind=KINDS, data=st.data())
    def list_then(self, kind: str, data: st.DataObject) -> None:
        """A list of an earlier moment is what there was then."""
        revision = data.draw(st.sampled_from(sorted(self.moments)))
        try:
            found = self.store.list_at("", kind, None, revision)
        except Expired:
            assert revision < self.oldest[kind]
            return
        assert _values(found) == self.moments[revision][kind]

    @invariant()
    def there_is_what_was_written(self) -> None:
        for kind, objects in self.objects.items():
            assert _values(self.store.list("", kind)) == objects


def _values(objects: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    return {(obj["metadata"]["namespace"], obj["metadata"]["name"]): obj["value"] for obj in objects}


SERVICE = BuiltInShapes("Service")
APPLIERS = [Owner("alice", "Apply"), Owner("bob", "Apply")]
EDITOR = Owner("edit", "Update")
VALUES = st.sampled_from(["1", "2"])
PORTS = st.lists(
    st.fixed_dictionaries({"port": st.integers(1, 3)}, optional={"name": VALUES, "targetPort": st.integers(1, 2)}),
    min_size=1,
    max_size=3,
    unique_by=lambda port: port["port"],
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "ports": PORTS,
    "type": VALUES,
    "selector": st.dictionaries(st.sampled_from("ab"), VALUES, min_size=1),
}
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries({"labels": st.dictionaries(st.sampled_from("ab"), VALUES, min_size=1)}),
        "spec": st.fixed_dictionaries({}, optional=FIELDS).filter(bool),
    },
)


class Ownership(RuleBasedStateMachine):
    """Two appliers and an editor share an object."""

    def __init__(self) -> None:
        super().__init__()
        self.live: Any = {"metadata": {"name": "x"}}
        self.managers: Managers = {}

    def _values(self, obj: Any) -> dict[Any, Any]:
        return dict(apply._owned(obj, SERVICE))

    @rule(owner=st.sampled_from(APPLIERS), config=CONFIGS, force=st.booleans())
    def apply(self, owner: Owner, config: Any, force: bool) -> None:
        before, had = self._values(self.live), self.managers
        wanted = self._values(config)
        others = {path for other, entry in had.items() if other != owner for path in entry.fields}
        contested = {path for path in others if path in wanted and before[path] != wanted[path]}
        try:
            self.live, self.managers = apply.applied(
                self.live, config, had, owner, force=force, api_version="v1", shapes=SERVICE
            )
        except ApiError as error:
            refused = error.code
        else:
            refused = 0
        assert refused == (409 if contested and not force else 0)
        if refused:
            return
        after = self._values(self.live)
        assert {path: after.get(path) for path in wanted} == wanted
        assert self.managers[owner].fields == frozenset(wanted)
        dropped = (had[owner].fields if owner in had else frozenset()) - frozenset(wanted) - others
        keys = {path for path in dropped if apply._is_key(path)}
        assert not [path for path in dropped - keys if path in after and not apply._is_prefix(path, frozenset(wanted))]
        for other, entry in had.items():
            kept = self.managers[other].fields if other in self.managers else frozenset()
            assert other == owner or kept == entry.fields - contested

    @rule(label=st.sampled_from("abc"), value=st.none() | VALUES)
    def edit(self, label: str, value: str | None) -> None:
        labels = dict(self.live["metadata"].get("labels") or {})
        labels.pop(label, None)
        labels |= {} if value is None else {label: value}
        metadata = {**self.live["metadata"], "labels": labels}
        edited = {**self.live, "metadata": metadata if labels else {"name": "x"}}
        self.managers = apply.updated(self.managers, self.live, edited, EDITOR, api_version="v1", shapes=SERVICE)
        self.live = edited

    @rule()
    def write_down(self) -> None:
        assert apply.read(apply.write(self.managers)) == {o: e for o, e in self.managers.items() if e.fields}
        self.managers = apply.read(apply.write(self.managers))

    @invariant()
    def what_is_owned_is_there(self) -> None:
        there = set(self._values(self.live))
        for owner, entry in self.managers.items():
            missing = entry.fields - there
            assert not missing, (owner, missing, self.live)


TestStoreHistory = StoreHistory.TestCase
TestOwnership = Ownership.TestCase
TestStoreHistory.settings = TestOwnership.settings = PROFILE
