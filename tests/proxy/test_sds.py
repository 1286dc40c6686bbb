"""How the agent hands its secrets to Envoy: what is asked, what is answered, and when."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isthmus import names
from isthmus.envoy import bootstrap
from isthmus.proxy import sds
from isthmus.proxy.sds import Secrets

WORKLOAD, ROOTS = names.WORKLOAD_CERTIFICATE_SECRET, bootstrap.ROOTS_SECRET


class Agent:
    """Secrets on a socket, and whoever connects to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.keep(key="first", roots="one")
        self.secrets = Secrets(str(directory))
        self.clients: list[socket.socket] = []

    def keep(self, *, key: str, roots: str) -> None:
        for file, secret in (
            (bootstrap.WORKLOAD_FILE, bootstrap.workload_secret("chain", key)),
            (bootstrap.ROOTS_FILE, bootstrap.roots_secret(roots)),
        ):
            (self.directory / file).write_text(json.dumps(secret))

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.directory / bootstrap.SECRETS_SOCKET))
        client.setblocking(False)
        self.clients.append(client)
        self.secrets.hear()
        return client

    def say(self, client: socket.socket, text: bytes) -> tuple[str, Any]:
        client.send(text)
        self.secrets.hear()
        return heard(client)

    def close(self) -> None:
        self.secrets.close()
        for client in self.clients:
            client.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path)
    yield agent
    agent.close()


def poll(name: str, version: str = "") -> bytes:
    """A request as Envoy 1.40 writes it."""
    had = {"version_info": version} if version else {}
    body = json.dumps({**had, "node": {"id": "web.shop"}, "resource_names": [name]}, separators=(",", ":")).encode()
    head = b"POST /v3/discovery:secrets HTTP/1.1\r\nhost: agent\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


def heard(client: socket.socket) -> tuple[str, Any]:
    """The status of an answer and what is in it; "waits" while there is none, "closed" when there will be none."""
    try:
        answer = client.recv(65536)
    except BlockingIOError:
        return "waits", None
    except ConnectionError:
        return "closed", None
    head, _, body = answer.partition(b"\r\n\r\n")
    return (head.split()[1].decode(), json.loads(body) if body else None) if answer else ("closed", None)


def test_the_first_poll_for_each_secret_is_answered_at_once(agent: Agent) -> None:
    status, workload = agent.say(agent.connect(), poll(WORKLOAD))
    assert status == "200"
    assert [each["name"] for each in workload["resources"]] == [WORKLOAD]
    assert workload["resources"][0]["tls_certificate"]["private_key"] == {"inline_string": "first"}
    status, roots = agent.say(agent.connect(), poll(ROOTS))
    assert status == "200"
    assert roots["resources"] == [bootstrap.roots_secret("one")]


def test_a_poll_for_what_envoy_has_waits_for_the_next_one_on_the_same_connection(agent: Agent) -> None:
    client = agent.connect()
    version = agent.say(client, poll(WORKLOAD))[1]["version_info"]
    assert agent.say(client, poll(WORKLOAD, version)) == ("waits", None)
    agent.keep(key="second", roots="one")
    agent.secrets.replace()
    status, answer = heard(client)
    assert status == "200"
    assert answer["resources"] == [bootstrap.workload_secret("chain", "second")]
    assert answer["version_info"] != version
    assert agent.say(client, poll(WORKLOAD, answer["version_info"])) == ("waits", None)


def test_what_changed_between_two_polls_is_not_missed(agent: Agent) -> None:
    client = agent.connect()
    version = agent.say(client, poll(ROOTS))[1]["version_info"]
    agent.keep(key="first", roots="two")
    agent.secrets.replace()
    assert agent.say(client, poll(ROOTS, version))[1]["resources"] == [bootstrap.roots_secret("two")]


def test_before_envoy_ends_no_poll_is_left_waiting(agent: Agent) -> None:
    client = agent.connect()
    version = agent.say(client, poll(ROOTS))[1]["version_info"]
    agent.say(client, poll(ROOTS, version))
    agent.secrets.release()
    assert heard(client) == ("304", None)


def test_a_poll_may_come_in_pieces(agent: Agent) -> None:
    client, request = agent.connect(), poll(WORKLOAD)
    assert agent.say(client, request[:30]) == ("waits", None)
    assert agent.say(client, request[30:-5]) == ("waits", None)
    assert agent.say(client, request[-5:])[0] == "200"


@pytest.mark.parametrize(
    "rubbish",
    [poll("trust/inbound"), b"GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", b"\0" * 70_000, poll(WORKLOAD, "0") + b"x"],
    ids=["another secret", "another request", "endless", "more than asked"],
)
def test_what_is_no_poll_is_hung_up_on(agent: Agent, monkeypatch: pytest.MonkeyPatch, rubbish: bytes) -> None:
    monkeypatch.setattr(sds, "MAX_POLL", 60_000)
    agent.secrets.replace()
    client = agent.connect()
    said = agent.say(client, rubbish)
    agent.secrets.hear()
    assert "closed" in (said[0], heard(client)[0])
    assert agent.say(agent.connect(), poll(WORKLOAD))[0] == "200"


def test_envoy_that_is_gone_is_forgotten(agent: Agent) -> None:
    client = agent.connect()
    version = agent.say(client, poll(ROOTS))[1]["version_info"]
    agent.say(client, poll(ROOTS, version))
    client.close()
    agent.secrets.hear()
    agent.secrets.replace()
    assert agent.say(agent.connect(), poll(ROOTS))[0] == "200"


def test_nobody_else_in_the_pod_can_open_it_and_what_a_former_container_left_is_no_obstacle(agent: Agent) -> None:
    path = agent.directory / bootstrap.SECRETS_SOCKET
    assert path.stat().st_mode & 0o777 == 0o600
    again = Secrets(str(agent.directory))
    assert path.stat().st_mode & 0o777 == 0o600
    again.close()
