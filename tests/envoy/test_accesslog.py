"""The lines that a pod's proxy writes for its requests."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
from tests.envoy.apps import echo
from tests.envoy.harness import Pod, mesh, until
from yarl import URL

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio]

PATH = '/path"}\\?q="1\''
AGENT = 'a "b"\\","status":"500\t\u00e9'
"""What a client may write; with spaces or control characters in its path a request does not get as far."""


async def line(directory: Path, style: str) -> tuple[Pod, str]:
    """The client, and what its server's proxy wrote about one request."""
    async with mesh(directory) as running, aiohttp.ClientSession() as session:
        vip = running.new_address()
        client, server = await asyncio.gather(
            running.pod("client", vips=(vip,)), running.pod("server", access_log=style)
        )
        running.route(client, vip, (server.endpoint(),))
        headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "user-agent": AGENT}
        async with echo(server), session.get(URL(f"http://{vip}{PATH}", encoded=True), headers=headers) as reply:
            assert reply.status == 200
        server.process.terminate()  # type: ignore[union-attr]
        await server.process.wait()  # type: ignore[union-attr]
        return client, await until(
            lambda: next((each for each in server.log.splitlines() if "/path" in each), None), "a line in the log"
        )


async def test_a_request_is_one_line_of_json_whatever_is_in_it(tmp_path: Path) -> None:
    client, written = await line(tmp_path, "json")
    said = json.loads(written)
    assert (said["method"], said["uri"], said["status"]) == ("GET", PATH, 200)
    assert said["client.id"] == client.identity.spiffe_id
    assert said["user_agent"] == AGENT
    assert said["trace_id"].startswith("00-4bf92f3577b34da6a3ce929d0e0e4736")
    assert said["total_ns"] >= said["processing_ns"] > 0


async def test_a_request_is_one_line_as_apache_writes_it(tmp_path: Path) -> None:
    client, written = await line(tmp_path, "apache")
    address, name, dash, _, method, path, *rest = written.split(" ")
    assert (name, dash, method, path) == (client.identity.spiffe_id, "-", '"GET', PATH)
    assert address.startswith("127.")
    version, status, size = rest
    assert (version, status, size.isdecimal()) == ('HTTP/2"', "200", True), "fields are told by spaces, quotes or not"
