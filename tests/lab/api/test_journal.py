"""A server that starts again has everything that its predecessor answered for, and its watchers miss nothing."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.api.open_parts import open_parts

from isthmus.lab.api import journal
from isthmus.lab.api.contracts import ApiError
from isthmus.lab.api.server import ApiServer
from isthmus.lab.api.store import Exists, Expired, Missing, Store

STEPS = st.lists(st.tuples(st.sampled_from(["create", "update", "remove", "again"]), st.sampled_from("abc")))


def _object(name: str, value: int = 0) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns"}, "value": value}


def _do(store: Store, step: str, name: str, value: int) -> None:
    try:
        match step:
            case "create":
                store.create("", "things", _object(name, value))
            case "update":
                store.update("", "things", _object(name, value))
            case "remove":
                store.remove("", "things", "ns", name)
    except (Exists, Missing):
        pass


async def _events(store: Store, since: int) -> list[tuple[str, int, Any]]:
    with store.watch("", "things", since) as watcher:
        return [(event.type, event.revision, event.obj) for event in await watcher.next(0)]


@given(steps=STEPS)
async def test_whatever_happened_and_however_often_it_restarted(
    steps: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("data") / "objects"
    store, plain = journal.open_store(path, first=7), Store(revision=7)
    began = 7
    for value, (step, name) in enumerate(steps):
        if step == "again":
            began = store.revision
            store = journal.open_store(path, first=1)
            continue
        _do(store, step, name, value)
        _do(plain, step, name, value)
    again = journal.open_store(path, first=1)
    assert again.revision == plain.revision
    assert again.list("", "things") == plain.list("", "things")
    assert await _events(again, began) == await _events(plain, began)


def test_a_watch_from_before_the_file_begins_has_to_list_again(tmp_path: Path) -> None:
    store = journal.open_store(tmp_path / "objects", first=7)
    store.create("", "things", _object("a"))
    journal.open_store(tmp_path / "objects", first=1)
    again = journal.open_store(tmp_path / "objects", first=1)
    with pytest.raises(Expired):
        again.watch("", "things", 7)


def test_a_line_that_was_cut_off_never_happened_but_a_damaged_one_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "objects"
    journal.open_store(path, first=7).create("", "things", _object("a"))
    whole = path.read_bytes()
    path.write_bytes(whole + b'["ADDED",9,"","thi')
    assert journal.open_store(path, first=1).revision == 8
    path.write_bytes(whole.replace(b'"ADDED"', b"ADDED") + whole)
    with pytest.raises(journal.Damaged, match="line 2"):
        journal.open_store(path, first=1)


def test_what_cannot_be_written_is_refused_and_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "objects"
    store = journal.open_store(path, first=7)
    write = os.write
    room = [20]

    def on_a_full_disk(file: int, data: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data[: room.pop()])

    with monkeypatch.context() as full:
        full.setattr(os, "write", on_a_full_disk)
        with pytest.raises(ApiError, match="No space left on device"):
            store.create("", "things", _object("a"))
    assert store.list("", "things") == []
    store.create("", "things", _object("b"))
    assert journal.open_store(path, first=1).list("", "things") == store.list("", "things")


def test_the_file_does_not_grow_for_ever_and_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FORGIVEN_BYTES", 2000)
    path = tmp_path / "objects"
    store = journal.open_store(path, first=7)
    store.create("", "things", _object("a"))
    for value in range(500):
        store.update("", "things", _object("a", value))
    assert path.stat().st_size < 5000
    assert path.stat().st_mode & 0o077 == 0
    assert journal.open_store(path, first=1).list("", "things") == store.list("", "things")


async def test_custom_resources_are_served_again(tmp_path: Path) -> None:
    store = journal.open_store(tmp_path / "objects", first=7)
    names = {"kind": "Link", "plural": "links"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    spec = {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version]}
    definition = {"metadata": {"name": "links.example.org"}, "spec": spec}
    store.create("apiextensions.k8s.io", "customresourcedefinitions", definition)
    server = ApiServer(store=journal.open_store(tmp_path / "objects", first=1), **open_parts())
    assert server.registry.find("example.org", "v1", "links")
