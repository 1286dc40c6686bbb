"""A server that is forked off a running daemon is as one that was started anew, and the daemon does not notice."""

import json
import os
import signal
import subprocess
import sys

import pytest

DAEMON = """
import asyncio, dataclasses, json, os, signal, socket, sys
from pathlib import Path
from isthmus.lab.forks import Server, fork

async def main():
    stop, ended, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGCHLD, ended.set)
    with socket.create_server(("127.0.0.1", 0)) as given, socket.create_server(("127.0.0.1", 0)) as kept:
        server = Server(
            package="served", arguments=("--a", "b"), title="/some/place", network=Path("/proc/self/ns/net"),
            log=Path(sys.argv[1]), listen_fd=given.fileno(),
        )
        pid, early = fork(server), fork(dataclasses.replace(server, package="waiting", log=Path(os.devnull)))
        os.kill(early, signal.SIGTERM)
        async with asyncio.timeout(20):
            await ended.wait()
        code, killed = (os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in (pid, early))
        given, kept = (os.readlink(f"/proc/self/fd/{listener.fileno()}") for listener in (given, kept))
        print(json.dumps({"code": code, "killed": killed, "stopped": stop.is_set(), "given": given, "kept": kept}))

asyncio.run(main())
"""

SERVED = """
import asyncio, json, os, signal, sys
from pathlib import Path

async def run():
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    links = {number: Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}
    held = [os.readlink(link) for link in links.values() if link.is_symlink()]
    shown = Path("/proc/self/cmdline").read_text().rstrip(chr(0))
    session = os.getsid(0) == os.getpid()
    print(json.dumps({"arguments": sys.argv, "held": held, "shown": shown, "session": session}), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    await told.wait()
    raise SystemExit("that was all")

def main():
    asyncio.run(run())
"""

WAITING = """
import signal

def main():
    signal.pause()
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What the daemon and what the server saw, and the rest of the server's log."""
    folder = tmp_path_factory.mktemp("forks")
    for package, program in {"served": SERVED, "waiting": WAITING}.items():
        (folder / package).mkdir()
        (folder / package / "__main__.py").write_text(program)
    command = [sys.executable, "-c", DAEMON, str(folder / "log"), "x" * 40]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    first, _, rest = (folder / "log").read_text().partition("\n")
    return json.loads(done.stdout), json.loads(first), rest


def test_its_log_has_what_it_said_and_the_daemon_its_exit_code(said):
    daemon, _, rest = said
    assert rest == "that was all\n"
    assert daemon["code"] == 1


def test_it_has_its_own_arguments_and_name(said):
    _, server, _ = said
    assert server["arguments"] == ["served", "--a", "b"]
    assert server["shown"] == "served /some/place"
    assert server["session"]


def test_it_holds_the_socket_it_was_given_and_no_other_of_the_daemons(said):
    daemon, server, _ = said
    assert daemon["given"] in server["held"]
    assert daemon["kept"] not in server["held"]


def test_a_signal_for_it_is_not_the_daemons(said):
    daemon, _, _ = said
    assert daemon["killed"] == -signal.SIGTERM
    assert not daemon["stopped"]
