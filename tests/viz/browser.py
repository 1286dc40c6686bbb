"""A real Chromium, driven by Playwright: the one of the machine, for nothing is downloaded."""

import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "no Chromium on PATH (Debian: apt-get install chromium)"
ARTIFACTS = Path(os.environ.get("ISTHMUS_ARTIFACTS", Path(__file__).parents[2] / "build" / "screenshots"))
"""Where pictures of the page are left."""
TRACED = ["devtools.timeline", "toplevel", "__metadata"]


@dataclass(frozen=True, slots=True)
class Tab:
    """A page, what its console complained of, and the addresses it asked."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self._said(message))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "assert"):
            self.errors.append(message.text)

    async def keep(self, name: str) -> None:
        """Leave a picture of it with the artifacts."""
        await self.page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser of its own, which ends with the block."""
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu"]) as browser,
    ):
        yield browser


@asynccontextmanager
async def tab(browser: Browser, **emulated: Any) -> AsyncIterator[Tab]:
    """A page without a past: no cache, nothing stored. `emulated` is what Playwright's `new_context` takes."""
    async with await browser.new_context(**emulated) as context:
        opened = Tab(await context.new_page())
        opened.listen()
        yield opened


@asynccontextmanager
async def tasks(browser: Browser) -> AsyncIterator[list[float]]:
    """At the end: the CPU time in milliseconds of each task of the pages' main threads, the longest first.

    It holds on a busy machine, where time on the clock does not.
    """
    found: list[float] = []
    await browser.start_tracing(categories=TRACED)
    yield found
    events = json.loads(await browser.stop_tracing())["traceEvents"]
    threads = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    ran = (each for each in events if "tdur" in each and (each["pid"], each["tid"]) in threads)
    found += sorted((each["tdur"] / 1000 for each in ran if each["name"].endswith("RunTask")), reverse=True)
