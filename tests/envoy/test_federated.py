"""The members of a federated service elsewhere are one group, whichever way each of them is reached."""

import asyncio
from pathlib import Path

import pytest
from tests.envoy.harness import mesh
from tests.envoy.test_failover import AFTER, BEFORE, CALLERS, Load, backend

pytestmark = pytest.mark.envoy


async def test_members_behind_a_gateway_and_members_dialled_directly_share_the_traffic_and_replace_each_other(
    tmp_path: Path,
) -> None:
    async with mesh(tmp_path) as running, backend(running, "east") as behind, backend(running, "north") as direct:
        vip = running.new_address()
        client, gateway = await asyncio.gather(
            running.pod("client", vips=(vip,)), running.pod("gateway", role="gateway")
        )
        running.gateway(client, "east", gateway)
        running.export(gateway, behind.pod.endpoint().address)
        running.route(client, vip, (), (behind.pod.endpoint(gateway="east"), direct.pod.endpoint()))
        async with Load(f"http://{vip}/") as load:
            await load.more(BEFORE)
            assert min(behind.app.served, direct.app.served) > BEFORE / 8
            before = behind.app.served
            await direct.kill_pod()
            await load.more(AFTER)
        assert set(load.answers) == {"200 "}
        assert behind.app.served - before >= AFTER - CALLERS
