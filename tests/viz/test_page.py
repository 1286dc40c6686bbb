"""The page in a real browser: what people see, and that they can get at it."""

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace as changed
from playwright.async_api import Browser, Locator, Page, expect
from tests.kube.waiting import until
from tests.viz import pages
from tests.viz.browser import CHROMIUM, MISSING, chromium, tab, tasks
from tests.viz.pages import EAST, WEST, call, party, seen, workload
from tests.viz.serving import HOSTILE, NAMED, Requests, served

from isthmus.cli.dashboard_relay import Relay
from isthmus.viz.api import Numbers
from isthmus.viz.web_sources import Seen

pytestmark = pytest.mark.asyncio(loop_scope="module")
AXE = os.environ.get("ISTHMUS_AXE", "")
"""axe.min.js: of npm's axe-core, or of the wheel axe-playwright-python."""
CHANGES = 5
SAYS = """(it, text) => new Promise((done) => {
  const look = () => it.innerText.includes(text) && (watcher.disconnect(), done());
  const watcher = new MutationObserver(look);
  watcher.observe(it, { childList: true, characterData: true, subtree: true });
  look();
})"""
"""Waits for a text without looking again and again, which would be counted as the page's work."""
DOMAIN = "west.example"
DASH = "\u2013"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncGenerator[Browser]:
    """One for all; each test has tabs without a past."""
    if CHROMIUM is None:
        pytest.skip(MISSING)
    async with chromium() as running:
        yield running


async def violations(page: Page) -> list[str]:
    """What axe finds, where there is one."""
    if not AXE:
        return []
    await page.evaluate(await asyncio.to_thread(Path(AXE).read_text))
    found = await page.evaluate("axe.run()")
    return [f"{each['id']}: {node['html']}" for each in found["violations"] for node in each["nodes"]]


def card(page: Page, key: str) -> Locator:
    return page.locator(f'[data-key="{key}"]')


async def test_one_page_shows_all_clusters_and_what_happens_to_them(browser):
    look = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
    async with served(*NAMED) as shown, tab(browser, **look) as opened:
        page = opened.page
        await page.goto(shown.url)
        await expect(page.locator(".region")).to_have_count(2)
        await expect(page.locator("a.crossing")).to_contain_text("80")
        assert shown.watched.is_set()
        await expect(page.locator("#summary")).to_contain_text("2 of 2 clusters live")
        await expect(page.locator("#map")).to_contain_text("✖ 80.0%")  # a sign, not a colour alone
        await expect(page.locator("path.wire.crossing")).to_have_count(1)
        frontend = card(page, "west/default/deployment/frontend").locator(".line")
        await expect(frontend).to_have_text("calls 14.5/s\n97.2% ok", use_inner_text=True)
        assert await violations(page) == []
        await opened.keep("linked-light")

        # A cluster that is gone is told at once; its numbers stay, grey and with their age.
        shown.put(NAMED[0], replace(NAMED[1], state="unreachable", reason="No route to host."))
        gone = page.locator(".region[data-state=unreachable][data-stale]")
        await expect(gone).to_be_visible(timeout=2000)
        for said in ("Does not answer", "old.", "No route to host.", "2.0/s"):
            await expect(gone).to_contain_text(said)
        await expect(page.locator("#story")).to_contain_text("east cannot be read")

        # So is an answer that comes from elsewhere.
        moved = call(party("frontend"), party("backend", cluster="east"), answered="default/backend-east")
        shown.put(seen("", changed(WEST, name="west", calls=(moved,))), NAMED[1])
        await expect(page.locator("#story")).to_contain_text("answered by east now, was west")
        assert await violations(page) == []
        assert opened.errors == []
        assert opened.requests
        assert [url for url in opened.requests if not url.startswith(shown.url)] == []


async def test_everything_can_be_reached_by_keyboard_on_a_phone_and_in_the_dark(browser):
    look = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "color_scheme": "dark"}
    async with served(*NAMED) as shown, tab(browser, **look) as opened:
        page = opened.page
        panel, focused = page.locator("#panel"), page.locator(":focus")
        await page.goto(shown.url)
        await expect(page.locator(".card")).to_have_count(5)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        backend = card(page, "west/default/deployment/backend")
        for _ in range(30):
            await page.keyboard.press("Tab")
            if await backend.evaluate("(it) => it === document.activeElement"):
                break
        spoken = await focused.text_content()
        assert spoken.startswith("backend 2 pods 100% · 12.5/s"), "a screen reader is told what is seen"
        assert spoken.endswith(", answers well, deploy in namespace default of cluster west")
        await page.keyboard.press("Enter")
        await expect(page.locator("#panel-title")).to_be_focused()
        for said in ("Certificate ends", "Who calls it", HOSTILE):
            await expect(panel).to_contain_text(said)
        ports = [await row.inner_text() for row in await panel.locator("tbody tr").all()]
        assert ports == ["8080\t12.5/s\t100%\t9.0\u00a0ms", "\t".join(["9000", *[DASH] * 3])], (
            "what nobody counted is no zero"
        )
        await expect(page.locator("svg.chart")).to_have_count(3)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        assert await violations(page) == []
        await opened.keep("workload-phone-dark")
        await page.keyboard.press("Escape")
        await expect(panel).to_be_hidden()
        await expect(backend).to_be_focused()
        await page.locator("a.crossing").click()
        await expect(panel).to_contain_text("Sync lag")
        await expect(panel).to_contain_text("none: the mirror shows what is there")
        assert await violations(page) == []
        await opened.keep("link-phone-dark")
        await open_panel(page, "a.chip")
        await expect(panel).to_contain_text("standby")
        assert opened.errors == []


async def open_panel(page: Page, selector: str) -> None:
    """As a link that was sent does: by the address alone."""
    await page.locator(selector).first.evaluate("(it) => { location.hash = it.getAttribute('href'); }")
    await expect(page.locator("#panel")).to_be_visible()


async def test_single_requests_are_read_only_while_somebody_looks_at_them(browser):
    requests = Requests()
    async with served(*NAMED) as shown, tab(browser) as opened:
        page = opened.page
        button, said, panel = page.locator("#tap"), page.locator(".requests"), page.locator("#panel")
        await page.goto(f"{shown.url}#node/west%2Fdefault%2Fdeployment%2Fbackend")
        await button.click()
        await expect(said).to_contain_text("`linkerd viz dashboard`")
        assert opened.errors, "the browser tells of what is not there"
        opened.errors.clear()

        async with Relay(shown.url, requests).serving("127.0.0.1", 0) as port:
            await page.goto(f"http://localhost:{port}/#node/west%2Fdefault%2Fdeployment%2Fbackend")
            await expect(button).to_have_text("Show live requests")
            assert requests.asked == [], "nobody wished for it"
            await button.click()
            await expect(said).to_contain_text("✖ 1")
            await expect(said).to_contain_text("1 of 2 pods, at most 20 requests a second")
            await expect(panel).to_contain_text("Who calls it")
            shown.put(seen("", changed(WEST, name="west", calls=())), NAMED[1])
            await expect(panel).not_to_contain_text("Who calls it")
            await expect(button).to_be_focused()  # what has the focus keeps it
            await expect(said).to_contain_text(HOSTILE)
            assert await page.evaluate("window.hit") is None
            assert await violations(page) == []
            assert requests.followed
            await page.evaluate("location.hash = '#node/' + encodeURIComponent('east/default/deployment/backend')")
            await expect(said).to_contain_text("No context <script>")
            assert [(each.cluster, each.domain) for each in requests.asked] == [("", DOMAIN), ("east", "east.example")]
            await until(lambda: not requests.followed)
            assert opened.errors == []


async def test_a_hostile_name_is_text_and_nothing_else(browser):
    nasty = workload(HOSTILE, namespace=HOSTILE, account=HOSTILE)
    here = party(HOSTILE, namespace=HOSTILE)
    calls = (call(here, here, service=HOSTILE), call(here, party("b", cluster=HOSTILE), service=HOSTILE))
    west = changed(WEST, name=HOSTILE, workloads=(nasty,), calls=calls, links=(pages.link(HOSTILE),))
    there = seen(HOSTILE, EAST, state="unreachable", reason=HOSTILE)
    async with served(seen("", west), there) as shown, tab(browser) as opened:
        page = opened.page
        await page.goto(shown.url)
        await expect(page.locator("body")).to_contain_text(HOSTILE)
        for kind in (".card", "a.crossing"):
            await open_panel(page, kind)
        await expect(page.locator("body script, img[src=x]")).to_have_count(0)
        assert await page.evaluate("window.hit") is None
        assert opened.errors == []


def renumbered(cluster: Seen, numbers: Numbers) -> Seen:
    """The same with other numbers everywhere."""
    assert cluster.picture
    workloads = tuple(changed(w, numbers=w.numbers if w.gateway else numbers) for w in cluster.picture.workloads)
    calls = tuple(changed(each, numbers=numbers) for each in cluster.picture.calls)
    return replace(cluster, picture=changed(cluster.picture, workloads=workloads, calls=calls))


async def test_200_workloads_in_three_clusters_do_not_stutter_and_nothing_moves(browser):
    where = "JSON.stringify([...document.querySelectorAll('.card')].map((c) => [c.offsetLeft, c.offsetTop]))"
    async with served(*pages.large()) as shown, tab(browser, viewport={"width": 1440, "height": 900}) as opened:
        page = opened.page
        await page.goto(shown.url)
        await expect(page.locator(".card")).to_have_count(204)
        await page.locator("path.wire").nth(150).wait_for(state="attached")
        before = await page.evaluate(where)
        said = page.locator(".card .line").first
        async with tasks(browser, page) as spent:
            for share in range(50, 50 + CHANGES):
                numbers = changed(pages.GOOD, rps=99.0, latency_ms_p99=4321.0, success=share / 100)
                shown.put(*(renumbered(each, numbers) for each in pages.large()))
                await said.evaluate(SAYS, f"{share}.0%")
        assert await page.evaluate(where) == before, "numbers change, places do not"
        print(f"CPU of the main thread: {sum(spent) / CHANGES:.0f} ms a change, at most {max(spent):.0f} ms at once")
        assert sum(spent) / CHANGES < 100
        assert max(spent) < 200
        assert opened.errors == []
        await opened.keep("three-clusters-201-workloads")


async def test_when_the_server_is_gone_the_page_says_so(browser):
    async with tab(browser) as opened:
        lost = opened.page.locator("#lost")
        async with served(*NAMED) as shown:
            await opened.page.goto(shown.url)
            await expect(opened.page.locator(".card")).to_have_count(5)
            await expect(lost).to_be_hidden()
        await expect(lost).to_contain_text("numbers are those of before", timeout=8000)
