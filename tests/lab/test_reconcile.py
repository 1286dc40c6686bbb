"""Work by key happens once per burst, never twice at a time, and again after a failure."""

import asyncio
from contextlib import asynccontextmanager

from isthmus.lab.client import ApiError
from isthmus.lab.reconcile import Reconciler


@asynccontextmanager
async def running(reconciler):
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(reconciler.run())
        yield
        task.cancel()


async def test_a_burst_is_handled_once_and_a_change_meanwhile_once_more():
    handled, entered, leave = [], asyncio.Event(), asyncio.Event()

    async def reconcile(key):
        handled.append(key)
        entered.set()
        await leave.wait()

    reconciler = Reconciler("test", reconcile)
    for _ in range(5):
        reconciler.enqueue("a")
    async with running(reconciler):
        await entered.wait()
        entered.clear()
        for _ in range(5):
            reconciler.enqueue("a")
        assert handled == ["a"]
        leave.set()
        await entered.wait()
        assert handled == ["a", "a"]


async def test_different_keys_do_not_wait_for_each_other():
    both = asyncio.Barrier(2)
    done = asyncio.Event()

    async def reconcile(key):
        await both.wait()
        done.set()

    reconciler = Reconciler("test", reconcile)
    reconciler.enqueue("a")
    reconciler.enqueue("b")
    async with running(reconciler):
        await done.wait()


async def test_a_failure_is_tried_again_whatever_it_was():
    attempts, done = [], asyncio.Event()

    async def reconcile(key):
        attempts.append(key)
        if len(attempts) == 1:
            raise ApiError(500, "InternalError", "not now")
        if len(attempts) == 2:
            raise KeyError("a defect")
        done.set()

    reconciler = Reconciler("test", reconcile)
    reconciler.enqueue("a")
    async with running(reconciler):
        await done.wait()
    assert attempts == ["a"] * 3


async def test_a_number_asks_to_be_called_again():
    attempts, done = [], asyncio.Event()

    async def reconcile(key):
        attempts.append(key)
        if len(attempts) == 2:
            done.set()
            return None
        return 0.001

    reconciler = Reconciler("test", reconcile)
    reconciler.enqueue("a")
    async with running(reconciler):
        await done.wait()
