"""Through a gateway: the server sees the client itself, and a gateway carries nothing that is not exported."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio
from apps import Echo, echo
from harness import Mesh, Pod, mesh
from roots import Authority

from isthmus import names

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]


@dataclass
class East:
    """A client in west; a gateway and a server in east, under another root."""

    mesh: Mesh
    vips: list[str]
    client: Pod
    gateway: Pod
    server: Pod
    app: Echo
    root: Authority


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def east(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[East]:
    async with mesh(tmp_path_factory.mktemp("tunnel")) as running:
        root = Authority("east.test")
        vips = [running.new_address() for _ in range(4)]
        running.trust(running.authority.bundle, root.bundle, name=names.TRUST_OUTBOUND_SECRET)
        running.trust(running.authority.bundle, root.bundle, name=names.TRUST_INBOUND_SECRET)
        client, gateway, server = await asyncio.gather(
            running.pod("client", vips=tuple(vips)),
            running.pod("gateway", role="gateway", authority=root, identity=root.identity("gateway")),
            running.pod("server", authority=root, identity=root.identity("server")),
        )
        running.gateway(client, "east", gateway)
        running.export(gateway, server.endpoint().address)
        async with echo(server) as app:
            yield East(running, vips, client, gateway, server, app, root)


async def test_the_server_sees_the_client_itself(east: East) -> None:
    east.mesh.route(east.client, east.vips[0], (east.server.endpoint(gateway="east"),), target_cluster="east")
    async with aiohttp.ClientSession() as session, session.get(f"http://{east.vips[0]}/") as reply:
        print(reply.status, dict(reply.headers), await reply.text(), east.mesh.ads.asked)
        assert reply.status == 200
        heard = await reply.json()
    assert heard["headers"][names.CLIENT_ID_HEADER] == east.client.identity.spiffe_id
    assert ("client", "gateway/east") in east.mesh.ads.asked
    assert ("gateway", f"export/{east.server.endpoint().address}") in east.mesh.ads.asked
