"""Calls to an API server, and what a person is told when one fails."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from tests.kube import api as fake

from isthmus.kube import config, errors, kinds, requests
from isthmus.kube.blocking import SyncClient, connect_sync
from isthmus.kube.client import connect
from isthmus.resources.core import CONFIG_MAPS

PATH = "/api/v1/namespaces/shop/configmaps"


@pytest.fixture
async def api() -> AsyncIterator[fake.Api]:
    async with fake.running() as running:
        yield running


async def test_objects_are_created_read_changed_and_deleted(api: fake.Api) -> None:
    async with connect(fake.kubeconfig(api.url)) as client:
        await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "shop"}, "data": {"x": "1"}})
        assert (await client.get(CONFIG_MAPS, "a", "shop")).data == {"x": "1"}
        await client.patch(CONFIG_MAPS, "a", {"data": {"x": None, "y": "2"}}, "shop")
        assert [each.data for each in await client.list(CONFIG_MAPS, "shop")] == [{"y": "2"}]
        await client.delete(CONFIG_MAPS, "a", "shop")
        with pytest.raises(errors.NotFound, match="ConfigMap shop/a does not exist in the API server"):
            await client.get(CONFIG_MAPS, "a", "shop")
    assert api.requests[0] == f"POST {PATH}?fieldManager=isthmus"


async def test_apply_is_forced_and_named(api: fake.Api) -> None:
    async with connect(fake.kubeconfig(api.url), manager="me") as client:
        await client.apply(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "shop"}})
    assert api.requests == [f"PATCH {PATH}/a?fieldManager=me&force=true"]


async def test_a_typed_view_is_never_written_back(api: fake.Api) -> None:
    await api.put(PATH, "a")
    async with connect(fake.kubeconfig(api.url)) as client:
        view = await client.get(CONFIG_MAPS, "a", "shop")
        with pytest.raises(TypeError, match="plain dicts"):
            await client.apply(CONFIG_MAPS, view)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "reason", "kind", "words"),
    [
        (401, "Unauthorized", errors.Unauthorized, "cluster east (URL) does not accept the credentials"),
        (403, "Forbidden", errors.Forbidden, "forbids to get ConfigMap shop/a"),
        (409, "AlreadyExists", errors.AlreadyExists, "ConfigMap shop/a already exists"),
        (409, "Conflict", errors.Conflict, "was changed by somebody else"),
        (410, "Gone", errors.Gone, "no longer has the history"),
        (422, "Invalid", errors.Invalid, "does not accept ConfigMap shop/a: reasons"),
        (429, "", errors.TooManyRequests, "is overloaded"),
        (500, "InternalError", errors.ApiError, "failed with 500 to get ConfigMap shop/a"),
    ],
)  # fmt: skip
async def test_failures_name_server_and_object(
    api: fake.Api, code: int, reason: str, kind: type[errors.ApiError], words: str
) -> None:
    api.refuse = (code, reason, "reasons")
    async with connect(fake.kubeconfig(api.url), name="east") as client:
        with pytest.raises(kind) as raised:
            await client.get(CONFIG_MAPS, "a", "shop")
    assert words.replace("URL", api.url) in str(raised.value)
    assert raised.value.code == code


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with connect(fake.kubeconfig(url)) as client:
            with pytest.raises(errors.Unreachable, match=f"{url} does not answer .asked for ConfigMap shop/a"):
                await client.get(CONFIG_MAPS, "a", "shop")


# --- kubeconfig -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "date", ["", "noon", "Fri, 31 Dec 9999 23:59:59 -2300", f"Thu, 01 Jan 2026 00:00:00 +{10**20}"]
)
async def test_a_server_that_tells_no_time_that_there_is_gives_a_problem_in_words(date: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: {date}\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(fake.kubeconfig(f"http://127.0.0.1:{port}")) as client:
            with pytest.raises(errors.KubeError, match="does not say what time it is"):
                await client.clock()


@pytest.mark.parametrize("body", [b"no", b'{"data": {"a": "\xff"}}', b'{"x": ' + b"[" * 9999 + b"]" * 9999 + b"}"])
def test_an_answer_that_cannot_be_read_is_a_problem_in_words(body: bytes) -> None:
    request = requests.get(CONFIG_MAPS, "a", "shop")
    with pytest.raises(errors.ApiError, match="sent an answer about ConfigMap shop/a that cannot be read"):
        requests.decode(request, 200, body, "cluster east")
    with pytest.raises(errors.ApiError):
        requests.decode(request, 500, body, "cluster east")


def test_files_are_merged_and_the_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = fake.kubeconfig("http://first"), fake.kubeconfig("http://second")
    second["contexts"].append({"name": "other", "context": {"cluster": "test", "user": "me"}})
    for name, content in (("a", first), ("b", second)):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert config.load(None, None).cluster.server == "http://first"
    assert config.load(None, "other").cluster.server == "http://first"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"- a list", "not a mapping"),
        (b"{", "malformed"),
        (b"contexts: []", "malformed"),
        (b"[" * 50_000, "malformed"),
        ("/nowhere/config", "There is no kubeconfig at /nowhere/config"),
        (fake.kubeconfig("http://x") | {"current-context": "ghost"}, "ghost"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_explained(source: config.Source, words: str) -> None:
    with pytest.raises(errors.ConfigError, match=words):
        config.load(source, None)


def test_a_context_that_does_not_exist_is_told_with_those_that_do() -> None:
    with pytest.raises(errors.ConfigError, match='no context "typo"; it has ') as told:
        config.load(fake.kubeconfig("http://x"), "typo")
    assert fake.kubeconfig("http://x")["current-context"] in str(told.value)


def test_an_address_that_is_no_url_is_a_problem_of_the_kubeconfig() -> None:
    with pytest.raises(errors.ConfigError, match="cannot be used"):
        connect_sync(fake.kubeconfig("http://east\0"))


def test_a_kubeconfig_from_a_secret_runs_no_programs_and_reads_no_files() -> None:
    for user in ({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh"}}, {"tokenFile": "/x"}):
        content = fake.kubeconfig("http://x") | {"users": [{"name": "me", "user": user}]}
        with pytest.raises(errors.ConfigError, match="self-contained"):
            config.load(yaml.safe_dump(content).encode(), None)


def program(tmp_path: Path, script: str) -> SyncClient:
    path = tmp_path / "credentials"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path)}}
    return connect_sync(fake.kubeconfig("http://127.0.0.1:9") | {"users": [{"name": "me", "user": user}]})


def test_credentials_from_a_program_of_the_current_version_are_understood(tmp_path: Path) -> None:
    client = program(tmp_path, """echo '{"status": {"token": "t0ken"}}'""")
    # The token was accepted: what fails is the connection.
    with pytest.raises(errors.Unreachable):
        client.get(kinds.LEASES, "a", "b")


def test_a_credential_program_that_fails_is_named_with_its_words(tmp_path: Path) -> None:
    client = program(tmp_path, "echo please log in >&2; exit 3")
    with pytest.raises(errors.ConfigError, match=r"credentials exited with 3: please log in"):
        client.get(kinds.LEASES, "a", "b")
