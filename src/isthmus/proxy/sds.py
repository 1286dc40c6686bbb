"""Envoy's own secrets, handed over on a socket in the pod: SDS over REST, where a poll waits for news.

Were they read from files, each would take one of the node's inotify instances; kernels lend 128 to each user, and all
proxies of a node have the same user. And Envoy would write the key into its log at debug level.

Envoy polls for one secret at a time and names the version that it has. The answer to a poll for the present version is
kept back until there is another. Nothing here blocks, and what is no poll is hung up on.
"""

import os
import select
import socket
from typing import Final

from isthmus import names
from isthmus.envoy import bootstrap

MAX_POLL: Final = 512 * 1024
"""Bytes. Envoy says each time which extensions it has: 77 kB of them."""
_FILES: Final = {
    b'"resource_names":["%s"]' % name.encode(): file
    for name, file in (
        (names.WORKLOAD_CERTIFICATE_SECRET, bootstrap.WORKLOAD_FILE),
        (bootstrap.ROOTS_SECRET, bootstrap.ROOTS_FILE),
    )
}
_NOT_MODIFIED: Final = b"HTTP/1.1 304 Not Modified\r\ncontent-length: 0\r\n\r\n"


class Secrets:
    """The secrets in a directory, on the socket `bootstrap.SECRETS_SOCKET` beside them, for this user alone."""

    def __init__(self, directory: str) -> None:
        """OSError when there can be no such socket."""
        self.directory = directory
        self._listener = _listen(f"{directory}/{bootstrap.SECRETS_SOCKET}")
        self._polls: dict[int, _Poll] = {}
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._version = 0

    @property
    def descriptor(self) -> int:
        """Readable when `hear` has something to do."""
        return self._epoll.fileno()

    def hear(self) -> None:
        """Take what Envoy sent, and answer what need not wait."""
        for descriptor, _ in self._epoll.poll(0):
            poll = self._polls.get(descriptor)
            if poll is None:
                self._accept()
            elif not poll.read():
                self._hang_up(poll)
            elif poll.file and poll.version != self._version:
                self._answer(poll)

    def replace(self) -> None:
        """There are other secrets in the directory now."""
        self._version += 1
        for poll in self._waiting():
            self._answer(poll)

    def release(self) -> None:
        """Answer every poll: one that Envoy's end cuts off would be a warning in the log."""
        for poll in self._waiting():
            self._send(poll, _NOT_MODIFIED)

    def close(self) -> None:
        """Forget the socket and its clients, as a forked child must."""
        for poll in self._polls.values():
            poll.connection.close()
        self._listener.close()
        self._epoll.close()

    def _waiting(self) -> list["_Poll"]:
        return [poll for poll in self._polls.values() if poll.file]

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        self._polls[connection.fileno()] = _Poll(connection)
        self._epoll.register(connection, select.EPOLLIN)

    def _answer(self, poll: "_Poll") -> None:
        try:
            with open(f"{self.directory}/{poll.file}", "rb") as file:
                resource = file.read()
        except OSError:
            self._hang_up(poll)
            return
        body = b'{"version_info":"%d","resources":[%b]}' % (self._version, resource)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._send(poll, head + body)

    def _send(self, poll: "_Poll", answer: bytes) -> None:
        poll.file = ""
        try:
            # A few kilobytes: they fit into the socket's buffer, or Envoy has stopped reading.
            complete = poll.connection.send(answer) == len(answer)
        except OSError:
            complete = False
        if not complete:
            self._hang_up(poll)

    def _hang_up(self, poll: "_Poll") -> None:
        self._epoll.unregister(poll.connection)
        del self._polls[poll.connection.fileno()]
        poll.connection.close()


class _Poll:
    """One connection; Envoy sends the next request when it has the answer to the last."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.file = ""
        """With the secret that is waited for, "" while none is."""
        self.version = -1
        """The one that Envoy has."""
        self._heard = bytearray()

    def read(self) -> bool:
        """Take what came; False when the connection is of no more use."""
        try:
            part = self.connection.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._heard += part
        head, end, body = bytes(self._heard).partition(b"\r\n\r\n")
        if not part or self.file or len(self._heard) > MAX_POLL:
            return False
        missing = _length(head) - len(body)
        if not end or missing > 0:
            return True
        if missing < 0:
            return False
        self._heard.clear()
        self.file = next((file for mark, file in _FILES.items() if mark in body), "")
        self.version = _version(body)
        return bool(self.file)


def _listen(path: str) -> socket.socket:
    """A container before this one may have left its socket behind."""
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen()
    listener.setblocking(False)
    return listener


def _length(head: bytes) -> int:
    """How long a request's body is; longer than any when the head does not say."""
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length" and value.strip().isdigit():
            return int(value)
    return MAX_POLL


def _version(body: bytes) -> int:
    """The version that a poll names; -1 for none, as in the first."""
    number = body.partition(b'"version_info":"')[2].partition(b'"')[0]
    return int(number) if number.isdigit() else -1
