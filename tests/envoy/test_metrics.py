"""A known number of requests, answers, delays and bytes: what both proxies say of them, to the last one."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import grpc
import pytest
import pytest_asyncio
from tests.envoy.apps import Echo, echo, greeter
from tests.envoy.harness import APP_PORT, HIDDEN_APP_PORT, OPAQUE_PORT, Mesh, Pod, mesh
from tests.envoy.roots import Authority
from tests.envoy.scraping import scraped, shows
from yarl import URL

from isthmus import names
from isthmus.mesh.model import Address, Endpoint

HTTP2_PING = 17
"""Bytes of one on the wire (RFC 9113, 6.7)."""

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]
SLOW = 0.12


@dataclass
class World:
    """A client in west, a server beside it, and a gateway and a server in east, under another root."""

    mesh: Mesh
    root: Authority
    client: Pod
    near: Pod
    gateway: Pod
    far: Pod
    session: aiohttp.ClientSession
    vips: list[str]

    def vip(self, *groups: tuple[Endpoint, ...], port: int = 80, target_cluster: str = "") -> str:
        """A service of its own name for each, so that tests do not count each other's requests."""
        vip = self.vips.pop()
        name = f"web-{len(self.vips)}"
        self.mesh.route(self.client, vip, *groups, port=port, target_cluster=target_cluster, service=name)
        return vip

    @property
    def service(self) -> str:
        """The one made last."""
        return f"web-{len(self.vips)}"

    def there(self, **changes: str) -> Endpoint:
        endpoint = self.far.endpoint(gateway="east")
        return replace(endpoint, cluster="east", namespace="shop", service="web", **changes)  # type: ignore[arg-type]

    async def get(self, vip: str, **options: object) -> int:
        async with self.session.get(f"http://{vip}/", **options) as reply:  # type: ignore[arg-type]
            await reply.read()
            return reply.status


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with mesh(tmp_path_factory.mktemp("metrics")) as running, aiohttp.ClientSession() as session:
        root = Authority("east.test")
        vips = [running.new_address() for _ in range(12)]
        listening = [f"{vip}:{port}" for vip in vips for port in (80, OPAQUE_PORT)]
        running.trust(running.authority.bundle, root.bundle, name=names.TRUST_OUTBOUND_SECRET)
        west = replace(running.authority.bundle, roots=f"{names.CLUSTER_COMMENT}west\n{running.authority.bundle.roots}")
        running.trust(west, root.bundle, name=names.TRUST_INBOUND_SECRET)
        client, near, gateway, far = await asyncio.gather(
            running.pod("client", vips=tuple(listening)),
            running.pod("near"),
            running.pod("gateway", role="gateway", authority=root, identity=root.identity("gateway")),
            running.pod("far", authority=root, identity=root.identity("far")),
        )
        running.gateway(client, "east", gateway)
        running.export(gateway, far.endpoint().address)
        yield World(running, root, client, near, gateway, far, session, vips)


async def some_requests(world: World, vip: str, app: Echo) -> None:
    """Nine: six good ones, of which two are slow, a 404 and two 503."""
    for status, delay in ((200, 0.0),) * 4 + ((200, SLOW),) * 2 + ((404, 0.0),) + ((503, 0.0),) * 2:
        app.status, app.delay = status, delay
        assert await world.get(vip) == status


async def test_requests_answers_and_latency_are_exact_on_both_sides(world: World) -> None:
    endpoint = replace(world.near.endpoint(), pod="near-0", owner="statefulset/near")
    vip = world.vip((endpoint,))
    async with echo(world.near) as app:
        await some_requests(world, vip, app)
    of_client = {"direction": "outbound", "dst_service": world.service}
    client = await shows(world.client, lambda now: now.total("response_latency_ms_count", **of_client) == 9)
    server = await shows(world.near, lambda now: now.total("response_latency_ms_count", direction="inbound") == 9)
    for samples, mine in ((client, of_client), (server, {"direction": "inbound", "target_port": str(APP_PORT)})):
        assert samples.total("request_total", **mine) == 9
        assert samples.total("response_total", classification="success", **mine) == 7
        assert samples.total("response_total", classification="failure", status_code="503", **mine) == 2
        assert samples.total("response_total", status_code="404", **mine) == 1
        assert samples.total("response_latency_ms_bucket", le="100", **mine) == 7
        assert samples.total("response_latency_ms_bucket", le="50000", **mine) == 9
    assert client.labels("request_total", **of_client) == {
        **of_client,
        "authority": f"{world.service}.test.svc.cluster.local:80",
        "dst_namespace": "test",
        "dst_pod": "near-0",
        "dst_statefulset": "near",
        "dst_serviceaccount": "near",
        "server_id": world.near.identity.dns_name,
        "tls": "true",
    }
    assert server.labels("request_total", direction="inbound") == {
        "direction": "inbound",
        "client_id": world.client.identity.dns_name,
        "target_port": str(APP_PORT),
        "tls": "true",
    }


@asynccontextmanager
async def answering(pod: Pod) -> AsyncIterator[None]:
    """A gRPC application: `/test/<code>` is answered with that code."""

    async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        code = int(dict(context.invocation_metadata() or ())["code"])
        if code:
            await context.abort(next(each for each in grpc.StatusCode if each.value[0] == code))
        return request

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handler(),))
    server.add_insecure_port(f"{pod.address}:{HIDDEN_APP_PORT}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


async def test_a_call_is_judged_by_its_grpc_status(world: World) -> None:
    """Linkerd's six codes are the server's failures; a call that found nothing was answered."""
    vip = world.vip((world.near.endpoint(),))
    async with answering(world.near), grpc.aio.insecure_channel(f"{vip}:80") as channel:
        call = channel.unary_unary("/test/call")
        for code in (0, 0, 0, 5, 14, 14):
            try:
                await call(b"", metadata=(("code", str(code)),), timeout=2)
            except grpc.aio.AioRpcError as error:
                assert error.code().value[0] == code  # noqa: PT017
    samples = await shows(world.client, lambda now: now.total("request_total", dst_service=world.service) == 6)
    mine = {"dst_service": world.service, "status_code": "200"}
    assert samples.total("response_total", grpc_status="0", classification="success", **mine) == 3
    assert samples.total("response_total", grpc_status="5", classification="success", **mine) == 1
    assert samples.total("response_total", grpc_status="14", classification="failure", **mine) == 2
    assert samples.total("response_total", **mine) == 6


async def test_connections_and_bytes_of_plain_tcp_are_exact_while_they_are_open(world: World) -> None:
    before = await scraped(world.near)
    vip = world.vip((replace(world.near.endpoint(port=OPAQUE_PORT), pod="db-0"),), port=OPAQUE_PORT)
    mine = {"direction": "outbound", "peer": "dst", "dst_service": world.service}
    question, answer, greeting = b"query\n", b"echo query\n", b"hello from near\n"
    async with greeter(world.near), asyncio.timeout(4):
        kept, closed = [await asyncio.open_connection(vip, OPAQUE_PORT) for _ in range(2)]
        for reader, writer in (kept, closed):
            assert await reader.readline() == greeting
            writer.write(question)
            assert await reader.readline() == answer
        closed[1].close()
        client = await shows(world.client, lambda now: now.total("tcp_open_connections", **mine) == 1)
        assert client.total("tcp_open_total", dst_pod="db-0", **mine) == 2
        assert client.total("tcp_close_total", **mine) == 1
        assert client.total("tcp_write_bytes_total", **mine) == 2 * len(question)
        assert client.total("tcp_read_bytes_total", **mine) == 2 * len(answer + greeting)
        inbound = {"direction": "inbound", "peer": "src", "tls": "true"}
        server = await scraped(world.near)
        assert server.total("tcp_open_total", **inbound) - before.total("tcp_open_total", **inbound) == 2
        for name, expected in (
            ("tcp_read_bytes_total", 2 * len(question)),
            ("tcp_write_bytes_total", 2 * len(answer + greeting)),
        ):
            more = server.total(name, **inbound) - before.total(name, **inbound) - expected
            assert more >= 0
            assert more % HTTP2_PING == 0, "connections of the tests before are still asked whether they live"
        kept[1].close()


async def test_each_cluster_is_counted_for_itself_when_traffic_moves(world: World) -> None:
    near = replace(world.near.endpoint(), backend="web")
    vip = world.vip((near,), (world.there(backend="web-east"),))
    async with echo(world.far):
        async with echo(world.near):
            for _ in range(3):
                assert await world.get(vip) == 200
        for _ in range(4):
            assert await world.get(vip) == 200
    samples = await scraped(world.client)
    apex = f"{world.service}.test.svc.cluster.local:80"
    here = {"authority": apex, "dst_service": "web", "dst_cluster": ""}
    there = {"authority": apex, "dst_service": "web-east", "dst_cluster": "east"}
    assert samples.total("request_total", **here) == 3
    assert samples.total("request_total", **there) == 4
    labels = samples.labels("response_total", **there)
    assert labels["dst_target_cluster"] == "east"
    assert (labels["dst_target_service"], labels["dst_target_service_namespace"]) == ("web", "shop")
    assert labels["server_id"] == world.far.identity.dns_name


async def test_through_a_gateway_both_ends_name_each_other_and_the_gateway_its_tunnels(world: World) -> None:
    vip = world.vip((world.there(),), target_cluster="east")
    already = (await scraped(world.far)).total("request_total", src_cluster="west")
    async with echo(world.far):
        for _ in range(5):
            assert await world.get(vip) == 200
        samples = await scraped(world.client)
        assert samples.total("request_total", dst_service=world.service, dst_cluster="east") == 5
        server = await scraped(world.far)
        assert (
            server.total("request_total", src_cluster="west", client_id=world.client.identity.dns_name) - already == 5
        )
        gateway = await scraped(world.gateway)
        who = {"client_id": world.client.identity.dns_name, "src_cluster": "west"}
        opened, closed = (gateway.total(f"gateway_tunnel_{what}_total", **who) for what in ("open", "close"))
        assert opened >= 1
        assert gateway.total("gateway_tunnels", **who) == opened - closed >= 1
        assert gateway.total("tcp_read_bytes_total", direction="inbound", peer="src", tls="true") > 0


async def test_members_of_a_federated_service_count_for_the_cluster_each_is_in(world: World) -> None:
    """One group: here, behind a gateway, and dialled directly on a flat network."""
    flat = await world.mesh.pod("flat")
    members = (
        world.near.endpoint(),
        world.there(),
        replace(flat.endpoint(), cluster="north", namespace="shop", service="web"),
    )
    vip = world.vip(members)
    async with echo(world.near) as here, echo(world.far) as there, echo(flat) as north:
        for _ in range(30):
            assert await world.get(vip) == 200
        served = {"": here.served, "east": there.served, "north": north.served}
    assert all(served.values())
    samples = await scraped(world.client)
    for cluster, expected in served.items():
        assert samples.total("request_total", dst_service=world.service, dst_cluster=cluster) == expected
        mine = {"direction": "outbound", "dst_service": world.service, "dst_cluster": cluster}
        assert samples.total("tcp_open_total", peer="dst", **mine) >= 1


async def test_a_stranger_at_the_gateway_is_counted(world: World) -> None:
    before = (await scraped(world.gateway)).total("inbound_tls_refused_total")
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    stranger.set_alpn_protocols(["h2"])
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        reader, writer = await asyncio.open_connection(
            world.gateway.address, names.GATEWAY_PORT, ssl=stranger, server_hostname=names.GATEWAY_SNI
        )
        await reader.read()
        writer.close()
    await shows(world.gateway, lambda now: now.total("inbound_tls_refused_total") == before + 1)


async def test_a_gateway_counts_what_it_refuses(world: World) -> None:
    forged = replace(world.there(), address=Address("127.0.0.9", 22))
    vip = world.vip((forged,), target_cluster="east")
    assert await world.get(vip) == 503
    refused = {"client_id": world.client.identity.dns_name, "src_cluster": "west", "status_code": "503"}
    await shows(world.gateway, lambda now: now.total("gateway_tunnel_refused_total", **refused) >= 1)


async def test_a_failure_to_reach_another_cluster_is_counted_for_that_cluster(world: World) -> None:
    vip = world.vip((), target_cluster="east")
    assert await world.get(vip) == 503
    samples = await scraped(world.client)
    failed = {"dst_service": world.service, "dst_cluster": "east", "classification": "failure", "status_code": "503"}
    assert samples.total("response_total", **failed) == 1


async def test_whoever_has_no_proxy_has_no_name(world: World) -> None:
    async with echo(world.near):
        assert await world.get(f"{world.near.address}:{APP_PORT}") == 200
    samples = await scraped(world.near)
    labels = samples.labels("request_total", direction="inbound", tls="no_identity")
    assert labels["no_tls_reason"] == "no_tls_from_remote"
    assert "client_id" not in labels


async def test_kubelets_probes_are_no_requests_of_the_workload(world: World) -> None:
    """Who only says that he is kubelet, or only asks where kubelet does, is counted as everybody is."""
    probed = await world.mesh.pod("probed", probe_paths=("/healthy", "/ready?deep=1"))
    kubelet, other = {"user-agent": "kube-probe/1.36"}, {"user-agent": "curl"}
    async with echo(probed) as app:
        for status, path, headers in (
            (200, "/healthy", kubelet),
            (503, "/ready?deep=1", kubelet),
            (200, "/healthy", other),
            (200, "/secret", kubelet),
        ):
            app.status = status
            url = URL(f"http://{probed.address}:{APP_PORT}{path}", encoded=True)
            async with world.session.get(url, headers=headers) as reply:
                assert reply.status == status
    samples = await shows(probed, lambda now: now.total("response_latency_ms_count", direction="inbound") == 2)
    assert samples.total("request_total", direction="inbound") == 2
    assert samples.total("response_total", status_code="200") == 2
    port = {"direction": "inbound", "target_port": str(APP_PORT)}
    assert [samples.total("inbound_probe_total", status_code=code, **port) for code in ("200", "503")] == [1, 1]


async def test_what_a_client_writes_names_no_series(world: World) -> None:
    """Neither a host per request nor a name made of quotes: a label is a known name, and its text stays valid."""
    vip = world.vip((replace(world.near.endpoint(), pod='x",tls="true"} 9\n,dst_cluster=east'),))
    async with echo(world.near):
        for number in range(5):
            headers = {"host": f"random-{number}.example", names.DESTINATION_HEADER: f"outbound/{number}"}
            assert await world.get(vip, headers=headers) == 200
    samples = await scraped(world.client)
    labels = samples.labels("request_total", dst_service=world.service)
    assert labels["authority"] == f"{world.service}.test.svc.cluster.local:80"
    assert labels["dst_pod"] == "x__tls__true___9__dst_cluster_east"
    assert "dst_cluster" not in labels


async def test_trace_context_passes_untouched(world: World) -> None:
    vip = world.vip((world.near.endpoint(),))
    trace = {
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate": "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
        "baggage": "userId=alice",
    }
    async with echo(world.near), world.session.get(f"http://{vip}/", headers=trace) as reply:
        heard = (await reply.json())["headers"]
    assert {name: heard[name] for name in trace} == trace


async def test_series_that_are_idle_end(tmp_path: Path) -> None:
    async with mesh(tmp_path) as running, aiohttp.ClientSession() as session:
        running.bootstrap_changes = {"stats_flush_interval": "0.1s", "stats_eviction_interval": "0.2s"}
        vip = running.new_address()
        client, server = await asyncio.gather(running.pod("client", vips=(vip,)), running.pod("server"))
        running.route(client, vip, (server.endpoint(),))
        async with echo(server), session.get(f"http://{vip}/") as reply:
            assert reply.status == 200
        await shows(client, lambda now: not now.total("request_total") and "response_latency" not in now.text)
        assert (await scraped(client)).total("tcp_open_total", dst_service="web", peer="dst") == 1
