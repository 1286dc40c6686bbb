"""Every test of this folder runs against each API server there is here, as `api`, in a namespace of its own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from tests.conformance import servers
from tests.conformance.api import Api, session_with, unique
from tests.conformance.servers import Server


@pytest.fixture(scope="session", params=servers.names())
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.started(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
async def api(server: Server) -> AsyncIterator[Api]:
    """The administrator's view."""
    async with AsyncExitStack() as ending:
        session = await ending.enter_async_context(session_with(server.pki.client_context()))
        api = Api(server, unique("test"), ending, session)
        await api.create(api.path("namespaces"), {"metadata": {"name": api.namespace}})
        yield api
        await api.call("DELETE", api.path("namespaces", api.namespace))


@pytest.fixture
def controllers(server: Server) -> None:
    """For tests of what an API server does only together with controllers."""
    if not server.controllers:
        pytest.skip("this API server runs without controllers: nothing finishes what it begins")
