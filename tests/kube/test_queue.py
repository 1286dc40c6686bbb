"""Reconciling: each key once, no change lost, failures back off."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from isthmus.kube.queue import Schedule, WorkQueue


def test_a_key_that_is_added_twice_is_worked_on_once() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0)
    schedule.add("a", 0)
    assert [schedule.take(1), schedule.take(1)] == ["a", None]


def test_a_change_during_work_is_worked_on_afterwards_not_beside() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0)
    schedule.take(0)
    schedule.add("a", 0)
    assert schedule.take(1) is None
    schedule.done("a")
    assert schedule.take(1) == "a"


def test_failures_in_a_row_double_the_delay_until_the_longest_and_success_forgets_them() -> None:
    schedule: Schedule[str] = Schedule(first_delay=1, longest_delay=4)
    delays = []
    now = 0.0
    for _ in range(4):
        schedule.add("a", now)
        assert schedule.take(now) == "a"
        delays.append(schedule.failed("a", now))
        now += delays[-1]
    assert delays == [1, 2, 4, 4]
    assert schedule.take(now) == "a"
    schedule.done("a")
    schedule.add("a", now)
    schedule.take(now)
    assert schedule.failed("a", now) == 1


def test_sooner_wins() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 100)
    schedule.add("a", 1)
    assert schedule.next_due() == 1
    assert schedule.take(1) == "a"
    assert schedule.next_due() is None


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["add", "take", "done", "fail"])), max_size=60))
def test_whatever_happens_the_last_change_is_worked_on(steps: list[tuple[str, str]]) -> None:
    schedule: Schedule[str] = Schedule(longest_delay=1)
    now, active, owed = 0.0, set(), set()
    for key, step in steps:
        now += 2
        if step == "add":
            schedule.add(key, now)
            owed.add(key)
        elif step == "take" and (taken := schedule.take(now)):
            assert taken not in active
            active.add(taken)
            owed.discard(taken)
        elif key in active:
            active.discard(key)
            if step == "fail":
                schedule.failed(key, now)
                owed.add(key)
            else:
                schedule.done(key)
    for key in active:
        schedule.done(key)
    taken_at_last = set()
    while key := schedule.take(now + 2):
        taken_at_last.add(key)
    assert taken_at_last == owed


async def test_the_queue_works_retries_and_comes_back_when_asked() -> None:
    queue: WorkQueue[str] = WorkQueue(first_delay=0.001)
    worked: asyncio.Queue[str] = asyncio.Queue()
    failures = ["once"]

    async def reconcile(key: str) -> float | None:
        worked.put_nowait(key)
        if failures:
            raise OSError(failures.pop())
        return 0.001

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(queue.run(reconcile, workers=2))
        queue.add("a")
        assert [await worked.get() for _ in range(3)] == ["a", "a", "a"]
        task.cancel()
