from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from isthmus.kube import pki
from isthmus.kube.client import Client, connect


@dataclass
class Authorities:
    """A root and an issuer, as an installation makes them."""

    root: pki.KeyPair = field(default_factory=lambda: pki.make_root("root.linkerd.cluster.local"))
    issuer: pki.KeyPair = field(init=False)

    def __post_init__(self) -> None:
        self.issuer = pki.make_issuer(self.root, common_name="identity.linkerd.cluster.local")

    @property
    def files(self) -> dict[str, str]:
        return {
            "tls.crt": self.issuer.cert_pem,
            "tls.key": self.issuer.key_pem,
            "ca-bundle.crt": self.root.cert_pem,
        }


@pytest.fixture(scope="session")
def authorities() -> Authorities:
    return Authorities()


@pytest.fixture
def other_authorities() -> Authorities:
    return Authorities()


class TokenApi:
    """An API server that knows only TokenReview: tokens of service accounts, each made for some audiences."""

    def __init__(self) -> None:
        self.tokens: dict[str, tuple[str, list[str]]] = {}
        self.broken = False
        self.reviews = 0

    def add(self, token: str, *, username: str, audiences: list[str]) -> None:
        self.tokens[token] = (username, audiences)

    async def review(self, request: web.Request) -> web.Response:
        self.reviews += 1
        if self.broken:
            return web.json_response({"kind": "Status", "message": "etcd is away"}, status=500)
        asked: dict[str, Any] = (await request.json())["spec"]
        username, audiences = self.tokens.get(asked["token"], ("", []))
        common = [audience for audience in asked["audiences"] if audience in audiences]
        status: dict[str, Any] = {"authenticated": bool(common)}
        if common:
            status |= {"user": {"username": username}, "audiences": common}
        return web.json_response({"metadata": {}, "status": status}, status=201)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        application = web.Application()
        application.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", self.review)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        kubeconfig = {
            "clusters": [{"name": "test", "cluster": {"server": url}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        try:
            async with connect(kubeconfig) as client:
                yield client
        finally:
            await runner.cleanup()


@pytest.fixture
def api() -> TokenApi:
    return TokenApi()
