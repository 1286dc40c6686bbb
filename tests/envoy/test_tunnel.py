"""Through a gateway: the server sees the client itself, and a gateway carries nothing that is not exported."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import aiohttp
import pytest
import pytest_asyncio
from tests.envoy.apps import Echo, echo, greeter
from tests.envoy.harness import APP_PORT, OPAQUE_PORT, Mesh, Pod, mesh
from tests.envoy.roots import Authority

from isthmus import names
from isthmus.envoy import gateway
from isthmus.mesh.model import Address, Endpoint, GatewayCluster, Identity

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Linked:
    """A client in west; a gateway and a server in east, under another root."""

    mesh: Mesh
    root: Authority
    client: Pod
    gateway: Pod
    server: Pod
    app: Echo
    session: aiohttp.ClientSession
    vips: list[str]

    def vip(self, *groups: tuple[Endpoint, ...], port: int = 80, server_name: str = "") -> str:
        vip = self.vips.pop()
        self.mesh.route(self.client, vip, *groups, port=port, target_cluster="east", server_name=server_name)
        return vip

    async def get(
        self, *groups: tuple[Endpoint, ...], server_name: str = "", path: str = "/"
    ) -> aiohttp.ClientResponse:
        reply = await self.session.get(f"http://{self.vip(*groups, server_name=server_name)}{path}")
        await reply.read()
        return reply


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def linked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Linked]:
    async with mesh(tmp_path_factory.mktemp("tunnel")) as running, aiohttp.ClientSession() as session:
        root = Authority("east.test")
        vips = [running.new_address() for _ in range(28)]
        running.trust(running.authority.bundle, root.bundle, name=names.TRUST_OUTBOUND_SECRET)
        running.trust(running.authority.bundle, root.bundle, name=names.TRUST_INBOUND_SECRET)
        client, far, server = await asyncio.gather(
            running.pod("client", vips=(*vips, f"{vips[0]}:{OPAQUE_PORT}")),
            running.pod("gateway", role="gateway", authority=root, identity=root.identity("gateway")),
            running.pod("server", authority=root, identity=root.identity("server")),
        )
        running.gateway(client, "east", far)
        running.export(far, server.endpoint().address)
        async with echo(server) as app:
            yield Linked(running, root, client, far, server, app, session, vips)


async def test_the_server_sees_the_client_itself(linked: Linked) -> None:
    reply = await linked.get((linked.server.endpoint(gateway="east"),))
    assert reply.status == 200
    assert (await reply.json())["headers"][names.CLIENT_ID_HEADER] == linked.client.identity.spiffe_id
    assert ("client", "gateway/east") in linked.mesh.ads.asked
    assert ("gateway", f"export/{linked.server.endpoint().address}") in linked.mesh.ads.asked


async def test_a_database_behind_a_gateway_may_speak_first(linked: Linked) -> None:
    database = await linked.mesh.pod("database", authority=linked.root, identity=linked.root.identity("database"))
    linked.mesh.export(linked.gateway, database.endpoint(port=OPAQUE_PORT).address)
    vip = linked.vips[0]
    linked.mesh.route(linked.client, vip, (database.endpoint(port=OPAQUE_PORT, gateway="east"),), port=OPAQUE_PORT)
    async with greeter(database), asyncio.timeout(2):
        reader, writer = await asyncio.open_connection(vip, OPAQUE_PORT)
        assert await reader.readline() == b"hello from database\n"
        writer.close()


async def test_connections_share_the_one_to_the_gateway(linked: Linked) -> None:
    endpoint = linked.server.endpoint(gateway="east")
    for _ in range(3):
        assert (await linked.get((endpoint,))).status == 200
    assert await linked.mesh.stat(linked.client, "cluster.gateway/east.upstream_cx_total") == 1
    assert await linked.mesh.stat(linked.client, "cluster.gateway/east.upstream_rq_total") >= 3


async def test_a_pod_without_a_proxy_is_reached_through_the_gateway(linked: Linked) -> None:
    bare = Pod("bare", linked.mesh.new_address(), linked.server.identity, Path())
    linked.mesh.export(linked.gateway, bare.endpoint().address)
    async with echo(bare, port=APP_PORT) as other:
        assert (await linked.get((bare.endpoint(gateway="east", meshed=False),))).status == 200
    assert other.served == 1


def _forged(linked: Linked, authority: str) -> Endpoint:
    host, _, port = authority.rpartition(":")
    return Endpoint(Address(host or authority, int(port) if host else 80), linked.server.identity, gateway="east")


@pytest.mark.parametrize("authority", ["127.0.0.1:22", "a.example:80"])
async def test_a_forged_authority_is_refused_at_once(linked: Linked, authority: str) -> None:
    forged = _forged(linked, authority)
    for _ in range(2):
        started = monotonic()
        assert (await linked.get((forged,))).status == 503
        assert monotonic() - started < 1
    _asks_for_exports_only(linked)


async def test_what_is_no_authority_at_all_ends_the_connection(linked: Linked) -> None:
    """The gateway's HTTP/2 takes it for a broken client; others have connections of their own."""
    asked = len(linked.mesh.ads.asked)
    authorities = ("outbound/127.0.0.1:80", "export/127.0.0.1:80", "gateway/east", "../127.0.0.1:80")
    replies = await asyncio.gather(*(linked.get((_forged(linked, each),)) for each in authorities))
    assert [reply.status for reply in replies] == [503] * len(authorities)
    assert [name for node, name in linked.mesh.ads.asked[asked:] if node == "gateway"] == []
    assert (await linked.get((linked.server.endpoint(gateway="east"),))).status == 200


def _asks_for_exports_only(linked: Linked) -> None:
    asked = [name for node, name in linked.mesh.ads.asked if node == "gateway"]
    assert all(name.startswith("export/") and name.count("/") == 1 for name in asked)


async def test_a_dead_address_of_a_gateway_costs_nothing(linked: Linked) -> None:
    """Nobody listens at the other one: connections that are drawn for it go to the one that is there."""
    nobody = Address(linked.mesh.new_address(), names.GATEWAY_PORT)
    alive = Address(linked.gateway.address, names.GATEWAY_PORT)
    for number, addresses in enumerate(((nobody, alive), (alive, nobody))):
        name = f"gateway/several-{number}"
        several = GatewayCluster(name, addresses, linked.gateway.identity)
        linked.mesh.put(gateway.load_assignment(several), node=linked.client.name)
        linked.mesh.put(gateway.cluster(several), node=linked.client.name)
        for _ in range(2):
            endpoint = linked.server.endpoint(gateway=f"several-{number}")
            assert (await linked.get((endpoint,))).status == 200
        assert await linked.mesh.stat(linked.client, f"cluster.{name}.upstream_cx_connect_fail") == 0


async def test_a_gateway_answers_probes(linked: Linked) -> None:
    itself = Endpoint(Address(linked.gateway.address, names.GATEWAY_PORT), linked.gateway.identity)
    assert (await linked.get((itself,), server_name=names.GATEWAY_SNI, path="/ready")).status == 200
    assert (await linked.get((itself,), server_name=names.GATEWAY_SNI, path="/")).status == 404


async def test_a_gateway_that_is_someone_else_gets_nothing(linked: Linked) -> None:
    linked.mesh.gateway(linked.client, "impostor", linked.gateway, identity=linked.root.identity("expected"))
    endpoint = linked.server.endpoint(gateway="impostor")
    before = linked.app.served
    assert (await linked.get((endpoint,))).status == 503
    assert linked.app.served == before


@pytest.mark.parametrize(
    ("server_name", "who"),
    [
        (names.GATEWAY_SNI, "nobody"),
        (names.GATEWAY_SNI, "foreign root"),
        (names.GATEWAY_SNI, "foreign root, our domain"),
        ("80.web.test.mesh.isthmus.internal", "client"),
        ("example.com", "client"),
    ],
)
async def test_a_gateway_refuses_strangers(linked: Linked, server_name: str, who: str, tmp_path: Path) -> None:
    west = linked.mesh.authority
    credentials = {
        "client": (west, west.identity("client")),
        "foreign root": (Authority("foreign.test"), Identity("foreign.test", "test", "client")),
        "foreign root, our domain": (linked.root, west.identity("client")),
    }.get(who)
    assert not await accepted(linked.gateway.address, server_name, credentials, tmp_path)


async def test_a_gateway_accepts_the_linked(linked: Linked, tmp_path: Path) -> None:
    west = linked.mesh.authority
    who = (west, west.identity("client"))
    assert await accepted(linked.gateway.address, names.GATEWAY_SNI, who, tmp_path)


async def test_an_unlinked_cluster_is_out_at_once_and_a_linked_one_in(linked: Linked, tmp_path: Path) -> None:
    """Bundles change live: no restart, and no new listener."""
    west = linked.mesh.authority
    who = (west, west.identity("client"))
    updates = "listener_manager.listener_modified"
    before = await linked.mesh.stat(linked.gateway, updates)

    async def becomes(state: bool) -> None:
        async with asyncio.timeout(3):
            while await accepted(linked.gateway.address, names.GATEWAY_SNI, who, tmp_path) is not state:
                pass

    linked.mesh.trust(linked.root.bundle, name=names.TRUST_INBOUND_SECRET)
    await becomes(False)
    linked.mesh.trust(linked.root.bundle, west.bundle, name=names.TRUST_INBOUND_SECRET)
    await becomes(True)
    assert await linked.mesh.stat(linked.gateway, updates) == before


async def accepted(host: str, server_name: str, who: tuple[Authority, Identity] | None, scratch: Path) -> bool:
    """Whether the gateway goes on after the handshake: it sends its HTTP/2 settings, or it closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if who is not None:
        authority, identity = who
        certificate, key = authority.issue(identity)
        (scratch / "pem").write_text(certificate + key)
        context.load_cert_chain(scratch / "pem")
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(
                host, names.GATEWAY_PORT, ssl=context, server_hostname=server_name
            )
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
            answer = await reader.read(9)
            writer.close()
            return len(answer) == 9
    except (ssl.SSLError, ConnectionError):
        return False
