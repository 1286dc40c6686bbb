"""Real Envoys on loopback, without namespaces or redirection.

Every pod gets a loopback address of its own, so the real port numbers can be used. What iptables does in a pod is
stood in for by additional listening addresses: the inbound listener also listens on the pod's application port (and
the application itself on another one, which the application clusters are fixed to), the outbound listener also on
the addresses that play service VIPs. Nothing else of what the builders made is changed.
"""

import asyncio
import json
import os
import random
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from envoy.config.core.v3 import address_pb2
from google.protobuf.message import Message
from tests.envoy.delta_ads import Ads
from tests.envoy.roots import Authority

from isthmus import names
from isthmus.envoy import admission, bootstrap, gateway, listeners, outbound, tls
from isthmus.mesh.model import (
    Address,
    Endpoint,
    ExportCluster,
    GatewayCluster,
    Identity,
    OutboundCluster,
    ProxyConfig,
    ServicePort,
    Trust,
    TrustBundle,
)
from isthmus.proxy.sds import Secrets

REPOSITORY = Path(__file__).parents[2]
APP_PORT = 8080
"""Where others think the application listens: redirected to the proxy."""
HIDDEN_APP_PORT = 9080
"""Where it listens here."""
OPAQUE_PORT = 3306
DEADLINE = 4


def envoy_binary() -> str | None:
    bundled = REPOSITORY / ".envoy/envoy/_bin/envoy"
    return os.environ.get("ISTHMUS_ENVOY") or shutil.which("envoy") or (str(bundled) if bundled.exists() else None)


async def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition that another process brings about."""
    try:
        async with asyncio.timeout(DEADLINE):
            while not (value := condition()):  # noqa: ASYNC110 - another process has no event to wait for
                await asyncio.sleep(0.01)
            return value
    except TimeoutError:
        raise AssertionError(f"waited {DEADLINE} s in vain for: {what}") from None


def _connects(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


@dataclass
class Pod:
    """One Envoy with its own loopback address."""

    name: str
    address: str
    identity: Identity
    directory: Path
    process: asyncio.subprocess.Process | None = None
    admin: str = ""
    own_secrets: Secrets | None = None

    def endpoint(self, *, port: int = APP_PORT, gateway: str | None = None, meshed: bool = True) -> Endpoint:
        return Endpoint(Address(self.address, port), self.identity if meshed else None, gateway=gateway)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)

    def stall(self) -> None:
        """Never answer again, and say nothing about it: what a black hole looks like from outside."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def present(self, certificate: tuple[str, str]) -> None:
        """Have another workload certificate, as the proxy agent does."""
        self._keep(bootstrap.WORKLOAD_FILE, bootstrap.workload_secret(*certificate))

    def trust(self, roots: str) -> None:
        """Have other roots that vouch for the control plane, as the proxy agent does."""
        self._keep(bootstrap.ROOTS_FILE, bootstrap.roots_secret(roots))

    @property
    def secrets(self) -> Secrets:
        assert self.own_secrets is not None
        return self.own_secrets

    def _keep(self, file: str, secret: dict[str, Any]) -> None:
        Path(self.secrets.directory, file).write_text(json.dumps(secret))
        self.secrets.replace()

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()


@dataclass
class Mesh:
    directory: Path
    ads: Ads
    ads_port: int
    authority: Authority
    sockets: str
    pods: list[Pod] = field(default_factory=list)
    bootstrap_changes: dict[str, Any] = field(default_factory=lambda: {"stats_flush_interval": "0.2s"})
    """Histograms are to be seen before a test loses its patience."""
    collector: tuple[str, int] | None = None
    """Where the pods send their spans."""
    _network: str = field(default_factory=lambda: f"127.{random.randrange(64, 250)}.{random.randrange(1, 250)}")
    _last: int = 1
    _server: Any = None

    async def serve(self, authority: Authority) -> None:
        """Start the destination service, with a certificate that `authority` signs, where it was before."""
        certificate, key = authority.issue(self.authority.identity("destination"))
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self.ads,))
        credentials = grpc.ssl_server_credentials([(key.encode(), certificate.encode())])
        self.ads_port = self._server.add_secure_port(f"127.0.0.1:{self.ads_port}", credentials)
        await self._server.start()

    async def stop_serving(self) -> None:
        await self._server.stop(None)

    def new_address(self) -> str:
        self._last += 1
        return f"{self._network}.{self._last}"

    def trust(self, *bundles: TrustBundle, name: str) -> None:
        trust = Trust(name, tuple(sorted(bundles, key=lambda bundle: bundle.trust_domain)))
        self.ads.put(tls.trust(trust))
        if name == names.TRUST_INBOUND_SECRET:
            self.ads.put(admission.rules(trust))

    async def pod(
        self,
        name: str,
        *,
        role: str = "sidecar",
        vips: tuple[str, ...] = (),
        identity: Identity | None = None,
        authority: Authority | None = None,
        domains: bool = True,
        access_log: str = "",
        sampling: int | None = None,
        probe_paths: tuple[str, ...] = (),
    ) -> Pod:
        """Start a proxy. `authority` signs its certificate if not the mesh's own."""
        pod = Pod(name, self.new_address(), identity or self.authority.identity(name), self.directory / name)
        pod.directory.mkdir()
        pod.own_secrets = self._secrets()
        pod.present((authority or self.authority).issue(pod.identity))
        config = ProxyConfig(
            role=role,  # type: ignore[arg-type]
            cluster_networks=(f"{self._network}.0/24",),
            inbound_opaque_ports=(OPAQUE_PORT,),
            outbound_opaque_ports=(OPAQUE_PORT,),
            access_log=access_log,  # type: ignore[arg-type]
            sampling=sampling,
            probe_paths=probe_paths,
        )
        for listener in listeners.listeners(config):
            _place(listener, pod=pod, vips=vips)
            self.put(listener, node=pod.name)
        await self._start(pod)
        return pod

    def put(self, message: Message, *, node: str = "") -> None:
        self.ads.put(message, node=node)

    def _secrets(self) -> Secrets:
        """Of the next pod, where no path is too long for a socket; answered by this process."""
        secrets = Secrets(tempfile.mkdtemp(dir=self.sockets))
        asyncio.get_running_loop().add_reader(secrets.descriptor, secrets.hear)
        return secrets

    def route(
        self,
        client: Pod,
        vip: str,
        *groups: tuple[Endpoint, ...],
        port: int = 80,
        target_cluster: str = "",
        server_name: str = "",
        shared: bool = False,
        service: str = "web",
    ) -> OutboundCluster:
        """Tell `client` what it reaches at `vip`."""
        cluster = OutboundCluster(
            name=f"{names.OUTBOUND_CLUSTER_PREFIX}{vip}:{port}",
            service=ServicePort("test", service, port),
            priorities=groups,
            target_cluster=target_cluster,
            server_name=server_name,
            shared=shared,
        )
        self.put(outbound.load_assignment(cluster), node=client.name)
        self.put(outbound.cluster(cluster), node=client.name)
        return cluster

    def endpoints(self, client: Pod, cluster: OutboundCluster, *groups: tuple[Endpoint, ...]) -> None:
        """Change a cluster's endpoints and nothing else."""
        self.put(outbound.load_assignment(replace(cluster, priorities=groups)), node=client.name)

    async def stat(self, pod: Pod, name: str) -> int:
        """One of Envoy's counters or gauges; 0 when it does not exist yet."""
        query = f"http://{pod.admin}/stats?filter=^{re.escape(name.replace(':', '_'))}$"
        async with aiohttp.ClientSession() as session, session.get(query) as reply:
            return int((await reply.text()).rpartition(": ")[2] or 0)

    async def reaches(self, pod: Pod, name: str, value: int) -> None:
        async with asyncio.timeout(DEADLINE):
            while await self.stat(pod, name) < value:  # noqa: ASYNC110 - nor has this one
                await asyncio.sleep(0.01)

    def gateway(
        self, client: Pod, name: str, *answering: Pod, silent: tuple[Pod, ...] = (), identity: Identity | None = None
    ) -> None:
        addresses, quiet = (
            tuple(Address(pod.address, names.GATEWAY_PORT) for pod in pods) for pods in (answering, silent)
        )
        cluster = GatewayCluster(
            name=f"{names.GATEWAY_CLUSTER_PREFIX}{name}",
            addresses=(*addresses, *quiet),
            identity=identity or answering[0].identity,
            silent=frozenset(quiet),
        )
        self.put(gateway.load_assignment(cluster), node=client.name)
        self.put(gateway.cluster(cluster), node=client.name)

    def export(self, gateway_pod: Pod, address: Address) -> None:
        self.put(
            gateway.export(ExportCluster(f"{names.EXPORT_CLUSTER_PREFIX}{address}", address)), node=gateway_pod.name
        )

    async def _start(self, pod: Pod) -> None:
        config = self._bootstrap(pod)
        (pod.directory / "bootstrap.json").write_text(json.dumps(config))
        binary = envoy_binary()
        assert binary is not None
        with (pod.directory / "log").open("w") as log:
            pod.process = await asyncio.create_subprocess_exec(
                binary, "--config-path", str(pod.directory / "bootstrap.json"), "--concurrency", "1",
                "--disable-hot-restart", "--admin-address-path", str(pod.directory / "admin"),
                "--drain-time-s", "1", *os.environ.get("ISTHMUS_TEST_ENVOY_FLAGS", "-l warning").split(),
                stdout=log, stderr=log,
            )  # fmt: skip
        self.pods.append(pod)
        await until(
            lambda: (
                self.ads.refused or all(_connects(pod.address, p) for p in (names.OUTBOUND_PORT, names.INBOUND_PORT))
            ),
            f"the listeners of {pod.name}\n{pod.log}",
        )
        assert not self.ads.refused
        pod.admin = (pod.directory / "admin").read_text()

    def _bootstrap(self, pod: Pod) -> dict[str, Any]:
        pod.trust(self.authority.pem)
        config = bootstrap.bootstrap(
            node_id=pod.name,
            cluster_domain="cluster.local",
            destination_host="127.0.0.1",
            destination_port=self.ads_port,
            destination_spiffe_id=self.authority.identity("destination").spiffe_id,
            trust_domain=self.authority.trust_domain,
            secrets_socket=f"{pod.secrets.directory}/{bootstrap.SECRETS_SOCKET}",
            admin_port=0,
            collector=self.collector,
        )
        for cluster in config["static_resources"]["clusters"]:
            if cluster["name"].startswith("application"):
                _pin(cluster, pod.address)
        return config | self.bootstrap_changes


def _pin(cluster: dict[str, Any], host: str) -> None:
    """Without redirection there is no original destination: say where the application is."""
    address = {"socket_address": {"address": host, "port_value": HIDDEN_APP_PORT}}
    cluster["type"] = "STATIC"
    del cluster["lb_policy"]
    cluster["load_assignment"] = {
        "cluster_name": cluster["name"],
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    }


def _place(listener: Any, *, pod: Pod, vips: tuple[str, ...]) -> None:
    if not listener.HasField("address"):
        return
    own = listener.address.socket_address
    own.address = pod.address
    inbound = listener.name == "inbound"
    others = [f"{pod.address}:{APP_PORT}", f"{pod.address}:{OPAQUE_PORT}"] if inbound else vips
    for other in others:
        host, _, port = other.partition(":")
        address = address_pb2.SocketAddress(address=host, port_value=int(port or 80))
        listener.additional_addresses.add().address.socket_address.CopyFrom(address)


@asynccontextmanager
async def mesh(directory: Path) -> AsyncIterator[Mesh]:
    """A control plane and no pods; everything ends with the context."""
    authority = Authority("west.test")
    with tempfile.TemporaryDirectory(prefix="mesh") as sockets:
        running = Mesh(directory=directory, ads=Ads(), ads_port=0, authority=authority, sockets=sockets)
        await running.serve(authority)
        running.trust(authority.bundle, name=names.TRUST_OUTBOUND_SECRET)
        running.trust(authority.bundle, name=names.TRUST_INBOUND_SECRET)
        try:
            yield running
            assert not running.ads.refused
        finally:
            for pod in running.pods:
                if pod.process is not None and pod.process.returncode is None:
                    pod.process.kill()
                    await pod.process.wait()
                asyncio.get_running_loop().remove_reader(pod.secrets.descriptor)
                pod.secrets.close()
            await running.stop_serving()
