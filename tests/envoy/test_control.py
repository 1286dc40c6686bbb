"""A proxy and its control plane: streams that break are opened again, also when the roots were exchanged meanwhile."""

import socket
from pathlib import Path
from time import monotonic

import pytest
from tests.envoy.harness import Mesh, Pod, mesh, until
from tests.envoy.roots import Authority
from tests.envoy.sockets import connections

pytestmark = pytest.mark.envoy

SOON = 3.0
"""Envoy's own pauses between tries grow to half a minute."""


async def test_a_proxy_comes_back_soon_after_the_control_plane_did(tmp_path: Path) -> None:
    async with mesh(tmp_path) as running:
        client = await running.pod("client")
        await running.stop_serving()
        await until(lambda: not running.ads.streams, "the end of the stream")
        for _ in range(4):
            await fails_again(running, client)
        await running.serve(running.authority)
        began = monotonic()
        await until(lambda: running.ads.streams, "a new stream")
        assert monotonic() - began < SOON


async def test_new_roots_reach_the_connection_to_the_control_plane(tmp_path: Path) -> None:
    async with mesh(tmp_path) as running:
        client = await running.pod("client")
        rotated = Authority("rotated.test")
        client.trust(running.authority.pem + rotated.pem)
        await running.stop_serving()
        await until(lambda: not running.ads.streams, "the end of the stream")
        await running.serve(rotated)
        await until(lambda: running.ads.streams, "a stream under the new root")


async def test_a_destination_service_that_vanished_is_left_a_second_after_it_was_asked(tmp_path: Path) -> None:
    """Its kernel acknowledges nothing any more. The next connection may lead to a replica that lives."""
    async with mesh(tmp_path) as running:
        client = await running.pod("client")
        assert client.process is not None
        with connections(client.process.pid, port=running.ads_port) as streams:
            patience = [each.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) for each in streams]
        assert patience == [1000]


async def fails_again(running: Mesh, client: Pod) -> None:
    attempts = "cluster.xds.upstream_cx_connect_fail"
    await running.reaches(client, attempts, await running.stat(client, attempts) + 1)
