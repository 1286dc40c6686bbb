"""One proxy to another: what a client and a server application see of the mesh."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import aiohttp
import grpc
import pytest
import pytest_asyncio
from tests.envoy.apps import Echo, calls, closes, echo, greeter
from tests.envoy.harness import APP_PORT, OPAQUE_PORT, Mesh, Pod, mesh
from tests.envoy.roots import Authority

from isthmus import names
from isthmus.envoy import absent
from isthmus.mesh.model import Address, Endpoint

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]


@dataclass
class West:
    """A client and a server with a proxy each; `vip` leads from one to the other, `nowhere` nowhere."""

    mesh: Mesh
    client: Pod
    server: Pod
    vip: str
    nowhere: str
    vips: list[str]
    session: aiohttp.ClientSession


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def west(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[West]:
    async with mesh(tmp_path_factory.mktemp("direct")) as running, aiohttp.ClientSession() as session:
        vip, nowhere, *vips = (running.new_address() for _ in range(9))
        listening = (vip, f"{vip}:{OPAQUE_PORT}", nowhere, *vips)
        client, server = await asyncio.gather(running.pod("client", vips=listening), running.pod("server"))
        running.route(client, vip, (server.endpoint(),))
        yield West(running, client, server, vip, nowhere, list(vips), session)


@pytest_asyncio.fixture(loop_scope="module")
async def app(west: West) -> AsyncIterator[Echo]:
    async with echo(west.server) as app:
        yield app


async def test_requests_arrive_as_sent_and_say_who_the_client_is(west: West, app: Echo) -> None:
    sent = {"l5d-client-id": "forged", "l5d-dst-override": "forged", "l5d-orig-proto": "forged", "x-request-id": "mine"}
    async with west.session.post(f"http://{west.vip}/a%2Fb//c?q=1", headers=sent, data="body") as reply:
        heard = await reply.json()
        assert reply.headers["server"] == "echo/1"
        assert not [name for name in reply.headers if name.lower().startswith("x-envoy")]
    assert (heard["method"], heard["path"], heard["body"]) == ("POST", "/a%2Fb//c?q=1", "body")
    assert heard["version"] == "1.1"
    headers = heard["headers"]
    assert headers["host"] == west.vip
    assert headers["x-request-id"] == "mine"
    assert headers["l5d-client-id"] == west.client.identity.spiffe_id
    assert not [name for name in headers if name.startswith(("x-envoy", "l5d-dst", "l5d-orig"))]


async def test_the_answer_says_who_the_server_proved_to_be(west: West, app: Echo) -> None:
    app.headers = {names.SERVER_ID_HEADER: "forged"}
    async with west.session.get(f"http://{west.vip}/") as reply:
        assert reply.headers.getall(names.SERVER_ID_HEADER) == [west.server.identity.spiffe_id]


async def test_a_server_without_a_proxy_cannot_claim_an_identity(west: West) -> None:
    bare = Pod("bare", west.mesh.new_address(), west.server.identity, Path())
    west.mesh.route(west.client, west.vips[6], (bare.endpoint(meshed=False),))
    async with echo(bare, port=APP_PORT) as claiming:
        claiming.headers = {names.SERVER_ID_HEADER: "forged"}
        async with west.session.get(f"http://{west.vips[6]}/") as reply:
            assert reply.status == 200
            assert names.SERVER_ID_HEADER not in reply.headers


async def test_http2_stays_http2(west: West) -> None:
    async with calls(west.server) as seen, grpc.aio.insecure_channel(f"{west.vip}:80") as channel:
        answer = await channel.unary_unary("/test/Echo")(b"ping", timeout=3)
    assert answer == b"ping"
    assert seen == [west.client.identity.spiffe_id]


async def test_websockets_work(west: West, app: Echo) -> None:
    async with west.session.ws_connect(f"http://{west.vip}/socket") as socket:
        await socket.send_str("hello")
        assert (await socket.receive(timeout=3)).data == "echo hello"


async def test_an_unknown_destination_is_a_fast_503_that_says_so_every_time(west: West) -> None:
    started = monotonic()
    for _ in range(3):
        async with west.session.get(f"http://{west.nowhere}/") as reply:
            assert reply.status == 503
            assert f"no healthy endpoint at outbound/{west.nowhere}:80" in reply.headers[names.PROXY_ERROR_HEADER]
    assert monotonic() - started < 1


async def test_unknown_bytes_are_closed(west: West) -> None:
    assert await closes(west.nowhere, 80, b"\x00\x01 not http\r\n\r\n")


async def test_a_destination_can_become_known_and_unknown_again(west: West, app: Echo) -> None:
    vip = west.vips[5]
    async with west.session.get(f"http://{vip}/") as reply:
        assert reply.status == 503
    west.mesh.route(west.client, vip, (west.server.endpoint(),))
    await west.mesh.reaches(west.client, f"cluster.outbound/{vip}:80.membership_healthy", 1)
    async with west.session.get(f"http://{vip}/") as reply:
        assert reply.status == 200
    west.mesh.put(absent.cluster(f"outbound/{vip}:80"), node=west.client.name)
    async with asyncio.timeout(2):
        while (await west.session.get(f"http://{vip}/")).status != 503:
            pass
    assert await closes(vip, 80, b"\x00\x01 not http\r\n\r\n")


async def test_a_database_that_speaks_first_is_not_kept_waiting(west: West) -> None:
    west.mesh.route(west.client, west.vip, (west.server.endpoint(port=OPAQUE_PORT),), port=OPAQUE_PORT)
    async with greeter(west.server), asyncio.timeout(2):
        reader, writer = await asyncio.open_connection(west.vip, OPAQUE_PORT)
        assert await reader.readline() == b"hello from server\n"
        writer.write(b"query\n")
        assert await reader.readline() == b"echo query\n"
        writer.close()


async def test_pods_with_and_without_a_proxy_share_the_load(west: West, app: Echo) -> None:
    bare = Pod("bare", west.mesh.new_address(), west.server.identity, Path())
    west.mesh.route(west.client, west.vips[0], (west.server.endpoint(), bare.endpoint(meshed=False)))
    async with echo(bare, port=APP_PORT) as other:
        for _ in range(30):
            async with west.session.get(f"http://{west.vips[0]}/") as reply:
                assert reply.status == 200
    assert app.served
    assert other.served


async def test_an_applications_own_errors_are_its_own(west: West, app: Echo) -> None:
    """They are neither retried nor held against the endpoint, and an application cannot pose as a proxy."""
    app.status, app.headers = 503, {names.PROXY_ERROR_HEADER: "forged"}
    for _ in range(8):
        async with west.session.get(f"http://{west.vip}/") as reply:
            assert reply.status == 503
            assert names.PROXY_ERROR_HEADER not in reply.headers
    assert app.served == 8


async def test_a_server_that_is_someone_else_gets_nothing(west: West, app: Echo) -> None:
    impostor = Endpoint(Address(west.server.address, APP_PORT), west.mesh.authority.identity("expected"))
    west.mesh.route(west.client, west.vips[1], (impostor,))
    async with west.session.get(f"http://{west.vips[1]}/") as reply:
        assert reply.status == 503
    assert not app.served


async def test_endpoints_that_arrive_before_their_cluster_are_not_spoken_to_in_plain_text(
    west: West, app: Echo
) -> None:
    """New identities in EDS meet no transport until the cluster follows; the fallback is a TLS that fails."""
    plain = west.mesh.route(west.client, west.vips[2], (Endpoint(Address(west.server.address, 1), None),))
    async with west.session.get(f"http://{west.vips[2]}/") as reply:
        assert reply.status == 503
    west.mesh.endpoints(west.client, plain, (west.server.endpoint(),))
    async with west.session.get(f"http://{west.vips[2]}/") as reply:
        assert reply.status == 503
    assert not app.served


@pytest.mark.parametrize("port", [names.INBOUND_PORT, names.OUTBOUND_PORT])
async def test_the_proxys_own_ports_lead_nowhere(west: West, app: Echo, port: int) -> None:
    assert await closes(west.server.address, port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert not app.served


async def test_clients_without_a_proxy_reach_the_application_but_have_no_name(west: West, app: Echo) -> None:
    headers = {names.CLIENT_ID_HEADER: "forged"}
    async with west.session.get(f"http://{west.server.address}:{APP_PORT}/", headers=headers) as reply:
        assert names.CLIENT_ID_HEADER not in (await reply.json())["headers"]


async def test_the_applications_own_tls_passes_through(west: West, tmp_path: Path) -> None:
    own = Authority("own.test")
    for name, pem in zip(("crt", "key"), own.issue(own.identity("app")), strict=True):
        (tmp_path / name).write_text(pem)
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    client_side = ssl.create_default_context(cadata=own.pem)
    client_side.check_hostname = False
    async with greeter(west.server, tls=server_side), asyncio.timeout(2):
        reader, writer = await asyncio.open_connection(
            west.server.address, APP_PORT, ssl=client_side, server_hostname="app.example"
        )
        assert await reader.readline() == b"hello from server\n"
        writer.close()


async def test_an_application_that_is_down_is_a_503_that_says_so(west: West) -> None:
    west.mesh.route(west.client, west.vips[3], (west.server.endpoint(),))
    async with west.session.get(f"http://{west.vips[3]}/") as reply:
        assert reply.status == 503
        assert reply.headers[names.PROXY_ERROR_HEADER].startswith("cannot connect")


async def test_a_renewed_certificate_is_taken_without_a_restart(west: West, app: Echo) -> None:
    renamed = west.mesh.authority.identity("renamed")
    updates = f"cluster.outbound/{west.vip}:80.client_ssl_socket_factory.ssl_context_update_by_sds"
    async with west.session.get(f"http://{west.vip}/") as reply:
        assert reply.status == 200
    before = await west.mesh.stat(west.client, updates)
    west.client.present(west.mesh.authority.issue(renamed))
    await west.mesh.reaches(west.client, updates, before + 1)
    west.mesh.route(west.client, west.vips[4], (west.server.endpoint(),))
    async with west.session.get(f"http://{west.vips[4]}/") as reply:
        assert (await reply.json())["headers"][names.CLIENT_ID_HEADER] == renamed.spiffe_id
