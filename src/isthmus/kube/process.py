"""How a control-plane process lives: tasks in one group, ended cleanly by SIGTERM."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


async def until_terminated(*work: Coroutine[Any, Any, None]) -> None:
    """Run all `work` together until SIGTERM or SIGINT; a failure of one ends all and is raised."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        await stop.wait()
        for task in tasks:
            task.cancel()
