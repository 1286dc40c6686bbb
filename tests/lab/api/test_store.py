"""Whoever watches sees exactly what happened, in order, or is told that it missed something."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.lab.api import store as stores
from isthmus.lab.api.store import Exists, Expired, Missing, Store

NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.tuples(st.sampled_from(["create", "update", "remove"]), NAMES), max_size=40)


def _object(name: str, value: int = 0) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns"}, "value": value}


def _do(store: Store, step: str, name: str, value: int) -> None:
    try:
        match step:
            case "create":
                store.create("", "things", _object(name, value))
            case "update":
                store.update("", "things", _object(name, value))
            case _:
                store.remove("", "things", "ns", name)
    except (Exists, Missing):
        pass


def _replay(known: dict[str, Any], events: list[stores.Event]) -> dict[str, Any]:
    for event in events:
        if event.type == "DELETED":
            del known[event.key[1]]
        else:
            assert (event.type == "ADDED") == (event.key[1] not in known)
            known[event.key[1]] = event.obj
    return known


@settings(max_examples=60)
@given(before=STEPS, after=STEPS)
def test_a_list_and_a_watch_from_its_revision_add_up_to_the_present(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    async def run() -> None:
        store = Store()
        for value, (step, name) in enumerate(before):
            _do(store, step, name, value)
        known = {obj["metadata"]["name"]: obj for obj in store.list("", "things")}
        revision = store.revision
        with store.watch("", "things", revision) as watcher:
            for value, (step, name) in enumerate(after):
                _do(store, step, name, value)
            events = await watcher.next(0)
        with store.watch("", "things", revision) as late:
            assert await late.next(0) == events
        revisions = [event.revision for event in events]
        assert revisions == sorted(set(revisions))
        assert all(event.obj["metadata"]["resourceVersion"] == str(event.revision) for event in events)
        assert _replay(known, events) == {obj["metadata"]["name"]: obj for obj in store.list("", "things")}

    asyncio.run(run())


@settings(max_examples=40)
@given(steps=STEPS, trimmed=st.integers(2, 6))
def test_a_list_of_an_earlier_moment_is_what_was_listed_then_or_refused(
    steps: list[tuple[str, str]], trimmed: int
) -> None:
    store = Store()
    seen = {store.revision: store.list("", "things")}
    for value, (step, name) in enumerate(steps):
        _do(store, step, name, value)
        store.create("", "others", _object(f"o{value}"))
        seen[store.revision] = store.list("", "things")
    for revision, objects in seen.items():
        assert store.list_at("", "things", None, revision) == objects
        assert store.list_at("", "things", "elsewhere", revision) == []
    middle = sorted(seen)[len(seen) // trimmed]
    store.forget_before("", "things", middle + 1)
    for revision, objects in seen.items():
        try:
            assert store.list_at("", "things", None, revision) == objects
        except Expired:
            assert revision < middle


def test_a_revision_that_is_no_longer_in_the_log_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "LOG_LENGTH", 3)
    store = Store()
    first = store.create("", "things", _object("a"))
    for value in range(5):
        store.update("", "things", _object("a", value))
    with pytest.raises(Expired):
        store.watch("", "things", int(first["metadata"]["resourceVersion"]))
    with store.watch("", "things", store.revision):
        pass


async def test_a_watcher_that_falls_behind_is_cut_off_and_costs_nobody_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "QUEUE_LENGTH", 2)
    store = Store()
    with store.watch("", "things", None) as slow:
        for name in ("a", "b", "c"):
            store.create("", "things", _object(name))
        assert len(await slow.next(0)) == 2
        assert slow.overflowed


async def test_other_kinds_are_not_heard() -> None:
    store = Store()
    with store.watch("", "things", None) as watcher:
        store.create("", "others", _object("a"))
        assert await watcher.next(0) == []


def test_lists_are_sorted_and_can_be_narrowed_to_a_namespace() -> None:
    store = Store()
    for namespace, name in (("b", "x"), ("a", "z"), ("a", "y")):
        store.create("", "things", {"metadata": {"name": name, "namespace": namespace}})
    assert [stores.key_of(obj) for obj in store.list("", "things")] == [("a", "y"), ("a", "z"), ("b", "x")]
    assert [stores.key_of(obj) for obj in store.list("", "things", "a")] == [("a", "y"), ("a", "z")]


def test_revisions_of_a_former_life_or_of_another_cluster_are_refused() -> None:
    store = Store(revision=100)
    for since in (99, 101):
        with pytest.raises(Expired):
            store.watch("", "things", since)
    with store.watch("", "things", 100):
        pass
