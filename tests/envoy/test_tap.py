"""The feed of single requests: who sees what of them, how many, and when it ends."""

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.envoy.apps import echo
from tests.envoy.harness import Pod, mesh, until

from isthmus.proxy.tap import Feed, Output, Tap, TapError, Wish

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio]
SECRET = "never-to-be-told"
ALL = Wish(most=1000, headers=[])


class Reader:
    """Whoever taps a pod: what was told so far, if he reads it."""

    def __init__(self, pod: Pod, wish: Wish) -> None:
        self.output, told = os.pipe()
        self._alive, self.leave = os.pipe()
        os.set_blocking(self.output, False)
        tap = Tap(port(pod), wish, reader=self._alive, output=Output(told), pod_ip=pod.address)
        self.thread = threading.Thread(target=tap.run)
        self.thread.start()
        self._text = b""
        self._descriptors = [self.output, told, self._alive]

    def lines(self) -> list[dict[str, Any]]:
        try:
            while part := os.read(self.output, 65536):
                self._text += part
        except BlockingIOError:
            pass
        return [json.loads(line) for line in self._text.splitlines(keepends=True) if line.endswith(b"\n")]

    def told(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if "direction" in line]

    def end(self) -> None:
        os.close(self.leave)
        self.thread.join(5)
        assert not self.thread.is_alive()
        for each in self._descriptors:
            os.close(each)


def port(pod: Pod) -> int:
    return int(pod.admin.rpartition(":")[2])


@contextmanager
def reading(pod: Pod, wish: Wish = ALL) -> Iterator[Reader]:
    reader = Reader(pod, wish)
    try:
        yield reader
    finally:
        reader.end()


@asynccontextmanager
async def pair(directory: Path) -> AsyncIterator[tuple[Pod, Pod, str, aiohttp.ClientSession]]:
    """Client, server, where the client finds the server, and an application that asks."""
    async with mesh(directory) as running, aiohttp.ClientSession() as session:
        vip = running.new_address()
        client, server = await asyncio.gather(running.pod("client", vips=(vip,)), running.pod("server"))
        running.route(client, vip, (server.endpoint(),))
        async with echo(server):
            yield client, server, f"http://{vip}", session


async def get(session: aiohttp.ClientSession, url: str, times: int = 1) -> None:
    async def once() -> None:
        async with session.get(url, headers={"authorization": SECRET}) as answer:
            await answer.read()

    await asyncio.gather(*(once() for _ in range(times)))


async def listening(*readers: Reader) -> None:
    for reader in readers:
        await until(lambda reader=reader: {"listening": True} in reader.lines(), "a feed")


async def test_both_ends_tell_what_was_asked_and_who_the_other_end_proved_to_be(tmp_path: Path) -> None:
    async with pair(tmp_path) as (client, server, url, session):
        with reading(client) as sent, reading(server) as received:
            await listening(sent, received)
            await get(session, f"{url}/path?q=1")
            await until(lambda: sent.told() and received.told(), "the request at both ends")
            ((out,), (into,)) = sent.told(), received.told()
        assert (out["direction"], out["peer"]) == ("outbound", server.identity.spiffe_id)
        assert (into["direction"], into["peer"]) == ("inbound", client.identity.spiffe_id)
        for each in (out, into):
            assert (each["method"], each["path"], each["status"]) == ("GET", "/path?q=1", "200")
            assert each["latency_us"] > 0
            assert SECRET not in json.dumps(each)
        assert out["dst"].startswith(server.address)


async def test_only_what_is_wished_for_leaves_the_proxy(tmp_path: Path) -> None:
    async with pair(tmp_path) as (client, _, url, session):
        with reading(client, Wish(most=10, headers=[(":path", "prefix", "/this")])) as reader:
            await listening(reader)
            await get(session, f"{url}/that")
            await get(session, f"{url}/this/one")
            await until(reader.told, "the one that was wished for")
            assert [each["path"] for each in reader.told()] == ["/this/one"]


async def test_no_more_are_told_in_a_second_than_was_said(tmp_path: Path) -> None:
    async with pair(tmp_path) as (client, _, url, session):
        with reading(client, Wish(most=5, headers=[])) as reader:
            await listening(reader)
            began = int(time.monotonic())
            await get(session, f"{url}/many", times=60)
            await until(lambda: {"skipping": True} in reader.lines(), "the word that some are left out")
            seconds = int(time.monotonic()) - began + 1
            assert 5 <= len(reader.told()) <= 5 * seconds

            async def again() -> bool:
                await get(session, f"{url}/later")
                return any(each["path"] == "/later" for each in reader.told())

            async with asyncio.timeout(10):
                while not await again():
                    pass


async def test_a_pod_is_tapped_by_one_at_a_time_and_free_when_he_leaves(tmp_path: Path) -> None:
    async with pair(tmp_path) as (client, _, _, _):
        with reading(client) as reader:
            await listening(reader)
            with pytest.raises(TapError, match="somebody else"):
                await asyncio.to_thread(Feed, port(client), ALL)
        await free(client)


async def test_a_reader_who_does_not_read_makes_the_proxy_keep_nothing(tmp_path: Path) -> None:
    async with pair(tmp_path) as (client, _, url, session):
        with reading(client) as reader:
            await listening(reader)
            for _ in range(10):
                await get(session, f"{url}/{'x' * 900}", times=20)
            await free(client)


async def free(pod: Pod) -> None:
    """Envoy feeds nobody any more."""

    def attach() -> bool:
        try:
            Feed(port(pod), ALL).close()
        except TapError:
            return False
        return True

    async with asyncio.timeout(10):
        while not await asyncio.to_thread(attach):
            pass
