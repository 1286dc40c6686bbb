"""The agent notices a rotation by looking at its Envoy, and looking costs next to nothing."""

import json
import os
import socket
from collections.abc import Callable, Iterator

import pytest

from isthmus.proxy.issued import Issued
from isthmus.proxy.rotations import ANSWER_SECONDS, LONGEST_LOOK_SECONDS, LOOK_SECONDS, Rotations
from isthmus.proxy.settings import Settings

ONE, TWO = (f"-----BEGIN CERTIFICATE-----\n{each * 8}\n-----END CERTIFICATE-----\n" for each in ("AAAA", "BBBB"))
ISSUED = Issued(issued_at=0, expires_at=1000, trust_anchors=ONE, issuer="first")


class Envoy:
    """An admin interface that answers when the test says so, and the agent's side of it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        environment = dict.fromkeys(("POD_NAME", "POD_NAMESPACE", "SERVICE_ACCOUNT", "TRUST_ANCHORS"), "x")
        environment |= {"TRUST_DOMAIN": "td.example", "IDENTITY_ADDR": "i:1", "DESTINATION_ADDR": "d:1"}
        settings = Settings({f"ISTHMUS_{name}": value for name, value in environment.items()})
        settings.envoy_admin_port = self._listener.getsockname()[1]
        self._children: list[int] = []
        self.read = 0
        self.rotations = Rotations(settings, fork=self._fork, spread=lambda: 0.0)
        self.now = 100.0

    def _fork(self, work: Callable[[], None]) -> int:
        self.read += 1
        child = os.fork()
        if child == 0:
            try:
                work()
            finally:
                os._exit(0)
        self._children.append(child)
        return child

    def look(self, *, roots: str = ONE, issuer: str = "first", date: str = "") -> str:
        """One look from its beginning to its end: why the certificate is outdated."""
        self.begin()
        connection, _ = self._listener.accept()
        with connection:
            connection.recv(4096)
            domain = {"name": "td.example", "trust_bundle": {"inline_string": f"# issuer {issuer}\n{roots}"}}
            config = {"custom_validator_config": {"typed_config": {"trust_domains": [domain]}}}
            body = json.dumps({"configs": [{"secret": {"validation_context": config}}]})
            connection.sendall(f"HTTP/1.1 200 OK\r\ndate: {date}\r\n\r\n{body}".encode())
        return self.heard()

    def begin(self) -> None:
        self.now += LONGEST_LOOK_SECONDS
        self.rotations.turn(self.now)

    def heard(self) -> str:
        while self.rotations.descriptor >= 0:
            os.set_blocking(self.rotations.descriptor, True)
            if self.rotations.hear(self.now):
                return self.rotations.outdated(ISSUED, ONE, self.now)
        return "nothing was heard"

    def close(self) -> None:
        self._listener.close()
        while self._children:
            os.waitpid(self._children.pop(), 0)


@pytest.fixture
def envoy() -> Iterator[Envoy]:
    made = Envoy()
    yield made
    made.close()


def test_what_stays_the_same_is_read_once(envoy: Envoy) -> None:
    assert [envoy.look(date=str(number)) for number in range(5)] == [""] * 5
    assert envoy.read == 1


def test_another_issuer_and_other_roots_are_noticed_until_there_is_a_new_certificate(envoy: Envoy) -> None:
    assert envoy.look() == ""
    assert envoy.look(issuer="second") == "another issuer signs now"
    assert envoy.look(roots=ONE + TWO) == "the trust roots changed"
    assert envoy.rotations.with_told(ONE) == ONE + TWO
    assert envoy.look(roots=ONE + TWO) == "the trust roots changed"
    assert envoy.look() == ""


def test_the_same_bad_news_is_looked_at_less_and_less_often(envoy: Envoy) -> None:
    def pauses() -> Iterator[float]:
        for _ in range(6):
            envoy.look(issuer="second")
            yield envoy.rotations.wait(envoy.now)

    assert list(pauses()) == [10, 20, 40, 60, 60, 60]
    envoy.look()
    assert envoy.rotations.wait(envoy.now) == LOOK_SECONDS


def test_an_envoy_that_says_nothing_is_asked_again_later(envoy: Envoy) -> None:
    envoy.begin()
    assert envoy.rotations.descriptor >= 0
    envoy.now += ANSWER_SECONDS
    envoy.rotations.turn(envoy.now)
    assert envoy.rotations.descriptor < 0
    assert envoy.rotations.wait(envoy.now) == LOOK_SECONDS


def test_an_envoy_that_is_not_there_is_asked_again_later(envoy: Envoy) -> None:
    envoy.close()
    envoy.begin()
    assert envoy.rotations.descriptor < 0
    assert envoy.rotations.wait(envoy.now) == LOOK_SECONDS
