"""The destination process: watches, answers proxies, follows linked clusters; never asks them for more than is used."""

import argparse
import asyncio
import gc
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from isthmus import names
from isthmus.destination import diagnostics, render, server
from isthmus.destination.memory import Memory
from isthmus.destination.observe import Observer
from isthmus.destination.remote import Remotes
from isthmus.destination.world import World
from isthmus.kube import admin, files, process
from isthmus.kube.client import Client, connect
from isthmus.kube.process import until_terminated
from isthmus.kube.workload import TOKEN_PATH, Credentials, WorkloadCertificate
from isthmus.mesh.state import State

log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM; the exit code."""
    flags = parser().parse_args(arguments)
    # gRPC says by RuntimeError that it cannot listen, a network that is none is a ValueError.
    return process.run(run(flags), log_level=flags.log_level, expected=(RuntimeError, ValueError))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="destination", description=__doc__)
    made.add_argument("--trust-domain", required=True)
    made.add_argument("--cluster-domain", default="cluster.local")
    made.add_argument(
        "--cluster-network", action="append", required=True, help="CIDRs of pods or services; may be repeated"
    )
    made.add_argument("--namespace", default=names.CONTROL_PLANE_NAMESPACE)
    made.add_argument("--service-account", default=names.DESTINATION_DEPLOYMENT)
    made.add_argument(
        "--trust-anchors-file",
        type=Path,
        default=Path("/var/run/linkerd/identity/trust-roots") / names.TRUST_ROOTS_KEY,
    )
    made.add_argument("--token-file", type=Path, default=TOKEN_PATH)
    made.add_argument("--identity-addr", default="", help="host:port, when it is not the usual Service")
    made.add_argument("--kubeconfig", default=None, help="outside of a cluster")
    made.add_argument("--listen", default=f"0.0.0.0:{names.DESTINATION_PORT}")
    made.add_argument("--admin", default=f"0.0.0.0:{names.CONTROLLER_ADMIN_PORT}")
    made.add_argument("--log-level", default="info")
    return made


async def run(flags: argparse.Namespace) -> None:
    """Build the process out of its parts and live until SIGTERM."""
    async with connect(flags.kubeconfig, manager="isthmus-destination") as client:
        await Destination(flags, client).run()


class Destination:
    """The parts, and the order in which they begin."""

    def __init__(self, flags: argparse.Namespace, client: Client) -> None:
        self._flags = flags
        self._state = State(
            trust_domain=flags.trust_domain,
            cluster_networks=[network for text in flags.cluster_network for network in text.split(",")],
            roots=flags.trust_anchors_file.read_text(),
        )
        self._world = World(
            self._state,
            remote_wanted=lambda key: self._remotes.want(key),
            remote_unwanted=lambda key: self._remotes.unwant(key),
        )
        self._observer = Observer(client, self._state, self._world.touched)
        self._memory = Memory(client, self._state, namespace=flags.namespace)
        self._remotes = Remotes(client, self._state, self._memory, touched=self._world.touched)
        for follower in (self._remotes, self._memory):
            self._observer.links.on_change(follower.links_changed)
        self._certificate = WorkloadCertificate(
            trust_domain=flags.trust_domain,
            service_account=flags.service_account,
            trust_anchors=self._state.roots,
            cluster_domain=flags.cluster_domain,
            namespace=flags.namespace,
            token_path=flags.token_file,
            address=flags.identity_addr,
            on_change=self._certified,
        )
        self._serving = False

    async def run(self) -> None:
        async with admin.serve(
            self._ready,
            address=self._flags.admin,
            pages={"/endpoints": lambda query: diagnostics.endpoints(self._state, query)},
        ):
            roots = follow_roots(self._flags.trust_anchors_file, self._state, self._world.touched)
            await until_terminated(
                self._observer.informers.run(),
                self._remotes.run(),
                self._memory.run(self._observer.informers.synced()),
                self._certificate.run(),
                roots,
                self._serve(),
            )

    async def _serve(self) -> None:
        await self._observer.informers.synced()
        await self._certificate.wait()
        credentials = server.credentials(self._shown)
        # What was loaded to start stays for good: keep the collector from walking it in the middle of a push.
        gc.collect()
        gc.freeze()
        async with server.serving(self._world, self._flags.listen, credentials) as port:
            log.info("serving proxies", extra={"port": port})
            self._serving = True
            await asyncio.Event().wait()

    def _shown(self) -> server.Shown:
        current = self._certificate.current
        assert current is not None
        return server.Shown(current.chain_pem, current.key_pem, self._state.roots())

    def _certified(self, credentials: Credentials) -> None:
        """Proxies hear who signs now, so that they need not wait for their next renewal."""
        self._state.set_issuer(credentials.issuer)
        self._world.touched()

    def _ready(self) -> str | None:
        waiting = self._observer.informers.waiting_for()
        if waiting:
            return waiting
        if not self._certificate.valid:
            return "waiting for a certificate from the identity service"
        return None if self._serving else "about to serve"


async def follow_roots(
    path: Path, state: State, touched: Callable[[], None], *, every: float = files.CHECK_SECONDS
) -> None:
    """Follow the mounted trust roots: a rotation reaches every proxy without touching a pod.

    Roots that cannot be read do not: every proxy would stop trusting every other one at once.
    """
    async for contents in files.changes(path, every=every):
        roots = contents.get(path.name, "")
        if render.usable_roots(roots) is None:
            log.error("the trust roots in %s hold no certificate that can be read; keeping those known", path)
            continue
        state.set_roots(roots)
        touched()
