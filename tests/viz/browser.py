"""A real Chromium, driven by Playwright: the one of the machine, for nothing is downloaded."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, CDPSession, ConsoleMessage, Page, async_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "no Chromium on PATH (Debian: apt-get install chromium)"
ARTIFACTS = Path(os.environ.get("ISTHMUS_ARTIFACTS", Path(__file__).parents[2] / "build" / "screenshots"))
"""Where pictures of the page are left."""
PAINTED = r"""
window.painted = new Promise((done) => {
  const look = () => {
    const live = /^([0-9]+) of \1 clusters live/.test(document.querySelector('#summary')?.textContent ?? '');
    if (!live || ![...document.querySelectorAll('.card .line')].some((each) => each.innerText.includes('/s'))) return;
    watcher.disconnect();
    requestAnimationFrame(() => setTimeout(() => done(performance.now())));
  };
  const watcher = new MutationObserver(look);
  watcher.observe(document, { childList: true, subtree: true, characterData: true });
});
"""
"""When the frame is drawn in which every cluster is live and somebody's requests are counted."""
TRACED = ["disabled-by-default-devtools.timeline", "__metadata"]


@dataclass(frozen=True, slots=True)
class Tab:
    """A page, what its console complained of, and the addresses it asked."""

    page: Page
    session: CDPSession
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self._said(message))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "assert"):
            self.errors.append(message.text)

    async def load(self, url: str) -> float:
        """Seconds from asking for a page until it is of use; see PAINTED."""
        await self.page.add_init_script(PAINTED)
        await self.page.goto(url)
        async with asyncio.timeout(30):
            return float(await self.page.evaluate("painted")) / 1000

    async def spent(self) -> float:
        """Seconds of CPU of the page's main thread since the tab was opened, which hold on a busy machine, too."""
        found = await self.session.send("Performance.getMetrics")
        return float(next(each["value"] for each in found["metrics"] if each["name"] == "ThreadTime"))

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
        page = await context.new_page()
        opened = Tab(page, await context.new_cdp_session(page))
        await opened.session.send("Performance.enable", {"timeDomain": "threadTicks"})
        opened.listen()
        yield opened


@asynccontextmanager
async def tasks(browser: Browser, page: Page) -> AsyncIterator[list[float]]:
    """At the end: the CPU time in milliseconds of each task of a loaded page's main thread, the longest first."""
    found: list[float] = []
    await browser.start_tracing(page=page, categories=TRACED)
    yield found
    events = json.loads(await browser.stop_tracing())["traceEvents"]
    began = next(each for each in events if each["name"] == "TracingStartedInBrowser")
    renderer = next(each["processId"] for each in began["args"]["data"]["frames"] if each["url"] == page.url)
    main = next(
        each["tid"]
        for each in events
        if each["pid"] == renderer and each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    )
    ran = (each for each in events if each["name"] == "RunTask" and (each["pid"], each["tid"]) == (renderer, main))
    found += sorted((each["tdur"] / 1000 for each in ran if "tdur" in each), reverse=True)
