"""One proxy to another: what a client and a server application see of the mesh."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from apps import echo, greeter
from harness import OPAQUE_PORT, mesh

from isthmus import names

pytestmark = pytest.mark.envoy


async def test_requests_arrive_as_sent_and_say_who_the_client_is(tmp_path: Path) -> None:
    async with mesh(tmp_path) as running:
        vip, nowhere = running.new_address(), running.new_address()
        client, server = await asyncio.gather(
            running.pod("client", vips=(vip, nowhere)), running.pod("server")
        )
        running.route(client, vip, (server.endpoint(),))
        async with echo(server), aiohttp.ClientSession() as session:
            headers = {"l5d-client-id": "forged", "l5d-dst-override": "forged", "x-request-id": "mine"}
            async with session.get(f"http://{vip}/a%2Fb//c?q=1", headers=headers) as reply:
                print(reply.status, dict(reply.headers), await reply.text(), running.ads.asked)
                heard = await reply.json()
                print(heard, dict(reply.headers))
                assert reply.status == 200
                assert reply.headers["server"] == "echo/1"
            async with session.get(f"http://{nowhere}/") as reply:
                print(reply.status, dict(reply.headers), await reply.text())
