"""Draining a real Envoy: what is open may finish, and nothing is waited for in vain."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.proxy import admin

BUNDLED = Path(__file__).parents[2] / ".envoy/envoy/_bin/envoy"
ENVOY = os.environ.get("ISTHMUS_ENVOY") or shutil.which("envoy") or (str(BUNDLED) if BUNDLED.exists() else None)
pytestmark = [pytest.mark.envoy, pytest.mark.skipif(ENVOY is None, reason="no Envoy binary: set ISTHMUS_ENVOY")]

ANY_PORT = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
ECHO = {
    "name": "echo",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"},
}
CONFIGURATION = {
    "admin": {"address": ANY_PORT},
    "static_resources": {"listeners": [{"name": "echo", "address": ANY_PORT, "filter_chains": [{"filters": [ECHO]}]}]},
}


@pytest.fixture
def envoy(tmp_path) -> Iterator[tuple[int, int]]:
    """The ports of Envoy's admin interface and of a listener that echoes."""
    (tmp_path / "envoy.json").write_text(json.dumps(CONFIGURATION))
    address = tmp_path / "address"
    command = [str(ENVOY), "-c", str(tmp_path / "envoy.json"), "--admin-address-path", str(address), "-l", "off"]
    process = subprocess.Popen([*command, "--concurrency", "1", "--disable-hot-restart"])
    try:
        while not (address.exists() and address.read_text()):
            assert process.poll() is None
        port = int(address.read_text().rpartition(":")[2])
        while not (echo := listening(port)):
            assert process.poll() is None
        yield port, echo
    finally:
        process.kill()
        process.wait()


def listening(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/listeners?format=json", timeout=5) as answer:
        statuses = json.load(answer).get("listener_statuses", [])
    return next((each["local_address"]["socket_address"]["port_value"] for each in statuses), 0)


def drained(port: int, seconds: float) -> float:
    """How long it took."""
    start = time.monotonic()
    admin.drain(port, seconds, time.monotonic, time.sleep)
    return time.monotonic() - start


def test_nothing_open_nothing_to_wait_for(envoy):
    assert drained(envoy[0], 30) < 10


def test_an_open_connection_is_waited_for_but_not_for_ever(envoy):
    port, echo = envoy
    with socket.create_connection(("127.0.0.1", echo), 5) as connection:
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"
        assert drained(port, 0.3) >= 0.3


def test_when_the_last_connection_closes_draining_is_over(envoy):
    port, echo = envoy
    connection = socket.create_connection(("127.0.0.1", echo), 5)
    connection.sendall(b"hello")
    assert connection.recv(5) == b"hello"
    looks = threading.Event()

    def close_after_the_first_look(_: float) -> None:
        looks.set()
        connection.close()

    start = time.monotonic()
    admin.drain(port, 30, time.monotonic, close_after_the_first_look)
    assert looks.is_set()
    assert time.monotonic() - start < 10


def test_an_envoy_that_is_gone_is_not_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert drained(port, 30) < 10
