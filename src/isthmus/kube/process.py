"""How a control-plane process lives: tasks in one group, ended cleanly by SIGTERM, failures told in one line each."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any, Final

from isthmus.kube import logs
from isthmus.kube.errors import KubeError

log: Final = logging.getLogger(__name__)


def run(life: Coroutine[Any, Any, None], *, log_level: str, expected: tuple[type[Exception], ...] = ()) -> int:
    """Live until SIGTERM; the exit code. What a person can do something about is logged without a traceback.

    `expected` adds to the errors of the API server and of the system what else is the environment's fault.
    """
    told: tuple[type[Exception], ...] = (KubeError, OSError, *expected)
    logs.setup(log_level)
    code = 0
    try:
        asyncio.run(life)
    except* told as failures:
        for error in failures.exceptions:
            log.error("%s", error)
        code = 1
    return code


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
