"""Spans, as a collector gets them from real proxies."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from tests.e2e.collector import METHOD, spans
from tests.envoy.apps import Echo, echo
from tests.envoy.harness import Mesh, Pod, mesh, until

from isthmus.resources.tracing import WHOLE

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Collector(grpc.GenericRpcHandler):
    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(self.export) if call.method == METHOD else None

    async def export(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.spans += spans(request)
        return b""

    async def of(self, trace: str, count: int) -> list[dict[str, Any]]:
        def found() -> list[dict[str, Any]]:
            return [span for span in self.spans if span["trace"] == trace]

        await until(lambda: len(found()) >= count, f"{count} spans of {trace}")
        return sorted(found(), key=lambda span: int(span["began"]))


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, int]]:
    collector, server = Collector(), grpc.aio.server()
    server.add_generic_rpc_handlers((collector,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield collector, port
    finally:
        await server.stop(None)


@asynccontextmanager
async def silence() -> AsyncIterator[int]:
    """A collector that takes what comes and never answers."""
    ended = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        ended.set()


@dataclass
class Pair:
    """A client whose requests go through two proxies to an application that echoes them."""

    mesh: Mesh
    client: Pod
    app: Echo
    session: aiohttp.ClientSession
    url: str

    async def ask(self, path: str = "/", **headers: str) -> dict[str, str]:
        """The headers that reach the application."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(f"{self.url}{path}", headers=named) as reply:
            assert reply.status == self.app.status
            return dict((await reply.json())["headers"])


@asynccontextmanager
async def pair(directory: Path, port: int, *, client: int | None, server: int | None) -> AsyncIterator[Pair]:
    """With spans by these samplings, to a collector at this port."""
    async with mesh(directory) as running, aiohttp.ClientSession() as session:
        running.collector = ("127.0.0.1", port)
        vip = running.new_address()
        left, right = await asyncio.gather(
            running.pod("client", vips=(vip,), sampling=client), running.pod("server", sampling=server)
        )
        running.route(left, vip, (right.endpoint(),))
        async with echo(right) as app:
            yield Pair(running, left, app, session, f"http://{vip}")


async def test_a_request_is_a_clients_span_and_in_it_a_servers_without_what_may_be_secret(tmp_path: Path) -> None:
    async with collecting() as (collector, port), pair(tmp_path, port, client=0, server=0) as both:
        both.app.status = 503
        long = "x" * 5000
        heard = await both.ask(
            f"/{long}?token=secret", traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="a=b", baggage="c=d",
            authorization="secret", cookie="secret", user_agent=long, x_request_id=long, x_client_trace_id=long,
        )  # fmt: skip
        client, server = await collector.of(TRACE, 2)
    assert (client["parent"], server["parent"]) == (PARENT, client["span"])
    assert heard["traceparent"] == f"00-{TRACE}-{server['span']}-01"
    assert (heard["tracestate"], heard["baggage"]) == ("a=b", "c=d")
    assert "secret" not in json.dumps([client, server])
    for span, name, kind, who in ((client, "GET 127", 3, "server"), (server, "GET", 2, "client")):
        assert span["name"].startswith(name)
        assert (span["kind"], span["failed"], span["state"]) == (kind, True, "a=b")
        assert span["attributes"]["http.status_code"] == "503"
        assert span["attributes"][f"isthmus.{who}_id"] == f"spiffe://west.test/ns/test/sa/{who}"
        assert max(map(len, span["attributes"].values())) < 600
    assert server["name"] == "GET"
    assert client["began"] <= server["began"] <= server["ended"] <= client["ended"]


async def test_a_trace_begins_where_it_is_sampled_and_everyone_follows(tmp_path: Path) -> None:
    async with collecting() as (collector, port), pair(tmp_path, port, client=WHOLE, server=0) as both:
        unwanted = await both.ask(traceparent=f"00-{TRACE}-{PARENT}-00")
        begun = await both.ask()
        _, trace, last, flags = begun["traceparent"].split("-")
        client, server = await collector.of(trace, 2)
    assert (client["parent"], server["parent"], server["span"], flags) == ("", client["span"], last, "01")
    assert unwanted["traceparent"].startswith(f"00-{TRACE}-")
    assert unwanted["traceparent"].endswith("-00")
    assert {span["trace"] for span in collector.spans} == {trace}, "who began the other one did not want it"


async def test_no_trace_begins_where_none_is_sampled(tmp_path: Path) -> None:
    async with silence() as port, pair(tmp_path, port, client=0, server=0) as both:
        assert {(await both.ask())["traceparent"][-2:] for _ in range(20)} == {"00"}


async def test_without_spans_the_headers_of_a_trace_pass_as_they_are(tmp_path: Path) -> None:
    context = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=b", "baggage": "c=d"}
    async with silence() as port, pair(tmp_path, port, client=None, server=None) as both:
        assert (await both.ask(**context)).items() >= context.items()
        assert "traceparent" not in await both.ask()


@pytest.mark.parametrize("reachable", [True, False], ids=["silent", "away"])
async def test_a_collector_that_takes_no_spans_costs_no_request_and_little_memory(
    tmp_path: Path, reachable: bool
) -> None:
    async with silence() as open_port:
        closed = 9  # discard: nobody listens there
        async with pair(tmp_path, open_port if reachable else closed, client=WHOLE, server=None) as both:

            async def many() -> None:
                for _ in range(100):
                    await both.ask()

            await asyncio.gather(*(many() for _ in range(6)))
            batches = await both.mesh.stat(both.client, "cluster.collector.upstream_rq_total")
            attempts = await both.mesh.stat(both.client, "cluster.collector.upstream_cx_total")
            assert both.app.served == 600
    assert attempts > 0
    assert batches == (8 if reachable else 0), "so many wait for an answer, and no more"
