"""A request is its certificate's user, its token's service account, or anonymous: over real TLS."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from isthmus.lab import pki
from isthmus.lab.api.authn import ClusterAuthenticator, bearer, certificate_user
from isthmus.lab.api.contracts import ApiError
from isthmus.lab.api.tokens import Account, Tokens

ACCOUNT = {"metadata": {"name": "web", "namespace": "shop", "uid": "u"}}
Ask = Callable[..., Awaitable[dict[str, Any]]]


class OneAccount:
    """A store with one service account in it."""

    def get(self, group: str, resource: str, namespace: str | None, name: str) -> dict[str, Any] | None:
        return ACCOUNT if (resource, namespace, name) == ("serviceaccounts", "shop", "web") else None

    def list(self, group: str, resource: str, namespace: str | None = None) -> list[dict[str, Any]]:
        return []


@pytest.fixture
def west(tmp_path: Path) -> pki.Pki:
    return pki.create(tmp_path, cluster="west", node_ip="172.30.0.11")


@pytest.fixture
def tokens(west: pki.Pki) -> Tokens:
    return Tokens.load(west.account_key.read_bytes())


@pytest.fixture
async def ask(west: pki.Pki, tokens: Tokens) -> AsyncIterator[Ask]:
    """Ask a server who it thinks one is."""
    authenticator = ClusterAuthenticator(tokens, OneAccount())

    async def who(request: web.Request) -> web.Response:
        try:
            user = await authenticator.authenticate(request)
        except ApiError as error:
            return web.json_response(error.status())
        return web.json_response({"name": user.name, "groups": user.groups})

    app = web.Application()
    app.router.add_get("/", who)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=west.server_context())
    async with aiohttp.ClientSession() as session:

        async def get(context: ssl.SSLContext, token: str = "") -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with session.get(server.make_url("/"), ssl=context, headers=headers) as answer:
                found: dict[str, Any] = await answer.json()
                return found

        yield get
    await server.close()


async def test_the_administrators_certificate(ask: Ask, west: pki.Pki) -> None:
    assert await ask(west.client_context()) == {
        "name": "kubernetes-admin",
        "groups": ["system:masters", "system:authenticated"],
    }


async def test_a_service_accounts_token(ask: Ask, west: pki.Pki, tokens: Tokens) -> None:
    token, _ = tokens.mint(Account("shop", "web", "u"), audiences=[tokens.issuer], seconds=600)
    assert await ask(ssl.create_default_context(cafile=str(west.ca)), token) == {
        "name": "system:serviceaccount:shop:web",
        "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
    }


async def test_nobody_in_particular(ask: Ask, west: pki.Pki) -> None:
    answer = await ask(ssl.create_default_context(cafile=str(west.ca)))
    assert answer == {"name": "system:anonymous", "groups": ["system:unauthenticated"]}


async def test_a_wrong_token_is_not_anonymous(ask: Ask, west: pki.Pki) -> None:
    answer = await ask(ssl.create_default_context(cafile=str(west.ca)), "wrong")
    assert (answer["code"], answer["reason"], answer["message"]) == (401, "Unauthorized", "Unauthorized")


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", None), ("Bearer", None), ("", None)],
)
def test_tokens_are_read_from_the_header(header: str, token: str | None) -> None:
    assert bearer(header) == token


def test_a_certificate_without_a_common_name_is_nobody() -> None:
    assert certificate_user({"subject": ((("organizationName", "x"),),)}) is None
