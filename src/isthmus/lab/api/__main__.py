"""`python -m isthmus.lab.api`: the API server of one lab cluster as a process."""

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

from isthmus.lab import memory
from isthmus.lab.api.admission import ClusterAdmission
from isthmus.lab.api.authn import ClusterAuthenticator
from isthmus.lab.api.journal import Damaged, open_store
from isthmus.lab.api.rbac import Rbac
from isthmus.lab.api.reviews import ClusterReviews
from isthmus.lab.api.server import ApiServer
from isthmus.lab.api.store import Store
from isthmus.lab.api.streaming import NodeStreaming
from isthmus.lab.api.tokens import Tokens
from isthmus.lab.pki import Pki

STORE: Final = "objects.jsonl"


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m isthmus.lab.api", description=__doc__)
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--data-dir", required=True, type=Path)
    parser.add_argument("--pki-dir", required=True, type=Path)
    parser.add_argument("--listen-fd", action="append", default=[], type=int, help="an inherited, bound TCP socket")
    parser.add_argument("--listen-address", action="append", default=[], type=_address, metavar="IP:PORT")
    parser.add_argument("--service-cidr", default="10.96.0.0/16", type=_network)
    parser.add_argument("--kubelet-socket", required=True, type=Path)
    parser.add_argument("--cluster-domain", default="cluster.local")
    given = parser.parse_args(arguments)
    if not given.listen_fd and not given.listen_address:
        parser.error("nothing to listen on: give --listen-fd or --listen-address")
    return given


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return str(ipaddress.ip_address(host)), int(port)


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


def _listener(address: tuple[str, int]) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        raise SystemExit(f"the API server cannot listen on {address[0]}:{address[1]}: {error.strerror}") from None
    return listener


def _store(path: Path) -> Store:
    """The cluster as the server before this one left it."""
    try:
        # A cluster that begins counts from the clock, so that nobody takes its revisions for those of one before it.
        return open_store(path, first=time.time_ns() // 1_000_000)
    except Damaged as error:
        raise SystemExit(f"{error}: `isthmus lab down` and `lab up` make a new, empty cluster") from None
    except OSError as error:
        raise SystemExit(
            f"the cluster cannot be kept in {path}: {error.strerror}; make room, or move the lab"
        ) from None


async def run(given: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    memory.collect_little()
    memory.read_little()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    pki = Pki(given.pki_dir)
    store = _store(given.data_dir / STORE)
    rbac = Rbac(store)
    tokens = Tokens.load(pki.account_key.read_bytes(), domain=given.cluster_domain)
    admission = ClusterAdmission(store)
    node_address, port = given.listen_address[0] if given.listen_address else ("127.0.0.1", 6443)
    server = ApiServer(
        store=store,
        authenticator=ClusterAuthenticator(tokens, store),
        authorizer=rbac,
        admission=admission,
        reviews=ClusterReviews(tokens, rbac, store),
        streaming=NodeStreaming(given.kubelet_socket),
        service_cidr=given.service_cidr,
        node_address=node_address,
        advertised_port=port,
    )
    async with contextlib.AsyncExitStack() as ending:
        ending.push_async_callback(admission.close)
        await ending.enter_async_context(server)
        listeners = [socket.socket(fileno=fd) for fd in given.listen_fd]
        listeners += [_listener(address) for address in given.listen_address]
        tls = pki.server_context()
        for listener in listeners:
            listener.setblocking(False)
            await server.listen(listener, tls)
        logging.getLogger(__name__).info("serving cluster %s on %d sockets", given.cluster, len(listeners))
        await stopping.wait()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    asyncio.run(run(parse(sys.argv[1:])))


if __name__ == "__main__":
    main()
