"""The metrics API reads real servers: good ones, slow ones, hostile ones."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp
import msgspec
import pytest
from tests.kube.waiting import until
from tests.viz import views

from isthmus.viz import api, scrape
from isthmus.viz.kinds import parse
from isthmus.viz.scrape import Scraper
from isthmus.viz.server import Server
from isthmus.viz.stat import View
from isthmus.viz.workloads import Target

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def pods(bodies: dict[str, bytes | None]) -> AsyncIterator[int]:
    """A server for each loopback address, at the same port; None never answers. What it sends may be exchanged."""
    released = asyncio.Event()

    async def serve(address: str, port: int) -> asyncio.Server:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            body = bodies[address]
            if body is None:
                await released.wait()
            else:
                writer.write(body)
            writer.close()

        return await asyncio.start_server(answer, address, port)

    first, *others = bodies
    servers = [await serve(first, 0)]
    port = int(servers[0].sockets[0].getsockname()[1])
    servers += [await serve(address, port) for address in others]
    try:
        yield port
    finally:
        released.set()
        for server in servers:
            server.close()


def target(address: str) -> Target:
    return dataclasses.replace(views.pod(f"pod-{address}", "web"), ip=address)


@asynccontextmanager
async def scraper(bodies: dict[str, bytes | None]) -> AsyncIterator[Scraper]:
    async with pods(bodies) as port:
        made = Scraper(lambda: [target(address) for address in bodies], time.time, port=port)
        running = asyncio.create_task(made.run())
        try:
            await until(lambda: made.began)
            yield made
        finally:
            running.cancel()


def text(count: int) -> bytes:
    return OK + views.requests(count, **views.ASKED).encode()


async def test_a_pod_that_cannot_be_read_is_told_and_the_others_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "MOST_BYTES", 100_000)
    monkeypatch.setattr(scrape, "SECONDS_PER_POD", 0.5)
    bodies: dict[str, bytes | None] = {
        "127.0.0.1": text(5),
        "127.0.0.2": None,
        "127.0.0.3": OK + b"x" * 200_000,
        "127.0.0.4": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        "127.0.0.5": b"\x00\xff not HTTP",
        "127.0.0.6": OK + b"\xff\xfe{}{}{ 1\n" * 50,
    }
    async with scraper(bodies) as made:
        found = {each.target.ip: each.error for each in made.known}
        assert found == {
            "127.0.0.1": "",
            "127.0.0.2": "no answer within 0 s",
            "127.0.0.3": "its metrics are larger than 0 MB",
            "127.0.0.4": "it answered with 302",
            "127.0.0.5": "its answer is not HTTP",
            "127.0.0.6": "",
        }
        (problem,) = made.problems()
        assert problem == (
            "The proxies of these pods cannot be read: default/pod-127.0.0.2 (no answer within 0 s), "
            "default/pod-127.0.0.3 (its metrics are larger than 0 MB), default/pod-127.0.0.4 (it answered with 302), "
            "and 1 more."
        )


async def test_a_question_gets_numbers_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "LEAST_APART", 0.0)
    bodies: dict[str, bytes | None] = {"127.0.0.1": text(5)}
    async with scraper(bodies) as made:

        def view() -> View:
            return View(
                now=time.time(),
                began=made.began,
                pods=[target("127.0.0.1")],
                histories=[(each.target, each.history) for each in made.known],
            )

        async def status() -> api.Status:
            return api.Status(pods=1, series=1, covered=0)

        async with (
            Server(view, made.fresh, status, lambda job: [{"job": job}]).serving("127.0.0.1:0") as port,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
        ):
            question = msgspec.json.encode(api.StatQuestion(resources=parse(["deploy"])))
            bodies["127.0.0.1"] = text(12)
            async with http.get(f"{api.STAT_PATH}?{api.QUERY}={quote(question.decode())}") as answer:
                found = msgspec.json.decode(await answer.read(), type=api.StatAnswer)
            (row,) = found.rows
            assert row.numbers.rps is not None
            assert row.numbers.rps * found.window == pytest.approx(7)

            for wrong, sentence in (
                ("{", "cannot read the question"),
                ('{"resources":[],"window":1}', "a window of 1"),
            ):
                async with http.get(f"{api.STAT_PATH}?{api.QUERY}={quote(wrong)}") as answer:
                    assert sentence in msgspec.json.decode(await answer.read(), type=api.Refusal).refused
            async with http.get(f"{api.TARGETS_PATH}linkerd-proxy") as answer:
                assert await answer.json() == [{"job": "linkerd-proxy"}]


async def test_what_a_pod_sends_instead_of_metrics_cannot_write_on_a_terminal() -> None:
    no_gzip = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1b[2J"
    async with scraper({"127.0.0.1": no_gzip}) as made:
        (known,) = made.known
        assert known.error
        assert known.error.isprintable()


async def test_a_question_during_a_round_waits_for_one_that_began_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "LEAST_APART", 0.0)
    bodies: dict[str, bytes | None] = {"127.0.0.1": text(5), "127.0.0.2": None}
    monkeypatch.setattr(scrape, "SECONDS_PER_POD", 0.3)
    async with scraper(bodies) as made:
        (good,) = [each for each in made.known if not each.error]
        (whole,) = set(made.rounds or ())
        earlier = asyncio.create_task(made.fresh())
        await until(lambda: len(good.history.times) == 2)
        assert set(made.rounds or ()) == {whole}, "half a round is none"
        bodies["127.0.0.1"] = text(12)
        await made.fresh()
        await earlier
        (group,) = [each for each in good.history.groups.values() if each.labels.get("classification") == "success"]
        (answered,) = group.series.values()
        assert answered.total == 7
        assert made.rounds is not None
        assert made.rounds[0] == whole
        assert made.rounds[1].began >= whole.ended


async def test_a_question_that_lost_patience_leaves_the_round_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "LEAST_APART", 0.0)
    monkeypatch.setattr(scrape, "PATIENCE", 0.05)
    monkeypatch.setattr(scrape, "SECONDS_PER_POD", 0.3)
    async with scraper({"127.0.0.1": text(5), "127.0.0.2": None}) as made:
        before = made.rounds
        await made.fresh()
        assert made.rounds == before
        assert "could not all be read within" in next(iter(made.problems()))
        await until(lambda: made.rounds != before)
        (problem,) = made.problems()
        assert "default/pod-127.0.0.2 (no answer within 0 s)" in problem


async def test_pods_that_hang_keep_nobody_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than are read at once."""
    monkeypatch.setattr(scrape, "LEAST_APART", 0.0)
    monkeypatch.setattr(scrape, "AT_ONCE", 2)
    monkeypatch.setattr(scrape, "SECONDS_PER_POD", 0.3)
    bodies: dict[str, bytes | None] = {f"127.0.0.{number}": None for number in range(1, 5)} | {"127.0.0.9": text(5)}
    async with scraper(bodies) as made:
        (good,) = [each for each in made.known if not each.error]
        before = made.rounds
        asking = asyncio.create_task(made.fresh())
        await until(lambda: len(good.history.times) == 2)
        assert made.rounds == before, "known before those that hang were waited for"
        await asking


async def test_metrics_that_nobody_foresaw_cost_their_own_pod_only(monkeypatch: pytest.MonkeyPatch) -> None:
    observe = scrape.History.observe

    def surprised(self: scrape.History, at: float, body: bytes, **options: int) -> None:
        if b"surprise" in body:
            raise LookupError
        observe(self, at, body, **options)

    monkeypatch.setattr(scrape.History, "observe", surprised)
    async with scraper({"127.0.0.1": OK + b"surprise 1\n", "127.0.0.2": text(5)}) as made:
        errors = {each.target.ip: each.error for each in made.known}
        assert errors["127.0.0.2"] == ""
        assert errors["127.0.0.1"].startswith("its metrics cannot be understood")
