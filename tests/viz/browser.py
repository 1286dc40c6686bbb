"""A real Chromium, driven by its DevTools protocol: no driver and no library but aiohttp."""

import asyncio
import base64
import itertools
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "no Chromium on PATH (Debian: apt-get install chromium)"
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    "--remote-debugging-port=0",
)
STARTS = 20.0


class Page:
    """One tab. `errors` is what its console complained of."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._traced: list[dict[str, Any]] = []
        self._traced_all = asyncio.Event()
        self.errors: list[str] = []
        self.requests: list[str] = []

    async def read(self) -> None:
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            elif said["method"] == "Runtime.exceptionThrown":
                self.errors.append(str(said["params"]["exceptionDetails"]))
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.errors.append(str(said["params"]["entry"]))
            elif said["method"] == "Runtime.consoleAPICalled" and said["params"]["type"] in ("error", "assert"):
                self.errors.append(str(said["params"]["args"]))
            elif said["method"] == "Tracing.dataCollected":
                self._traced += said["params"]["value"]
            elif said["method"] == "Tracing.tracingComplete":
                self._traced_all.set()
            elif said["method"] == "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(60):
            said = await answer
        assert "error" not in said, said
        return dict(said["result"])

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """The value of an expression, awaited when it is a promise."""
        said = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def until(self, script: str, *, seconds: float = 30.0) -> float:
        """Waits until an expression is true, asked at every frame; the seconds that took."""
        began = time.monotonic()
        asked = (
            f"new Promise((yes, no) => {{ const end = performance.now() + {seconds * 1000};"
            f" const ask = () => {{ let it = false; try {{ it = ({script}); }} catch (error) {{ it = false; }}"
            " if (it) yes(true); else if (performance.now() > end) yes(false); else setTimeout(ask, 16); };"
            " ask(); })"
        )
        found = await self.run(asked)
        assert found, f"not within {seconds} s: {script}\n{await self.run('document.body.innerText.slice(0, 3000)')}"
        return time.monotonic() - began

    @asynccontextmanager
    async def tasks(self) -> AsyncIterator[list[float]]:
        """At the end: the CPU time in milliseconds of each task of the page's main thread, the longest first."""
        found: list[float] = []
        await self.call(
            "Tracing.start", transferMode="ReportEvents", categories="devtools.timeline,toplevel,__metadata"
        )
        yield found
        await self.call("Tracing.end")
        async with asyncio.timeout(60):
            await self._traced_all.wait()
        threads = {
            (each["pid"], each["tid"])
            for each in self._traced
            if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
        }
        ran = (each for each in self._traced if "tdur" in each and (each["pid"], each["tid"]) in threads)
        found += sorted((each["tdur"] / 1000 for each in ran if each["name"].endswith("RunTask")), reverse=True)

    async def size(self, width: int, height: int) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    async def scheme(self, name: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": name}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def key(self, name: str) -> None:
        for kind in ("keyDown", "keyUp"):
            code = {"Escape": 27, "Tab": 9, "Enter": 13}[name]
            text = {"text": "\r"} if name == "Enter" and kind == "keyDown" else {}
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, **text
            )

    async def picture(self, path: Path, *, whole: bool = True) -> None:
        data = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(data["data"]))


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Page]:
    """A page of a browser of its own, which ends with the block."""
    assert CHROMIUM
    process = await asyncio.create_subprocess_exec(
        *(CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(STARTS):
            port = await _port(process)
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/json") as answer:
            tabs = await answer.json()
            url = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            async with http.ws_connect(url, max_msg_size=0) as socket:
                page = Page(socket)
                reading = asyncio.create_task(page.read())
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.call(f"{domain}.enable")
                yield page
                reading.cancel()
    finally:
        process.terminate()
        await process.wait()


async def _port(process: asyncio.subprocess.Process) -> str:
    assert process.stderr
    said = ""
    while line := (await process.stderr.readline()).decode("utf-8", "replace"):
        said += line
        if line.startswith("DevTools listening on ws://"):
            return line.split("/devtools")[0].rpartition(":")[2]
    raise AssertionError(f"Chromium did not start:\n{said}")
