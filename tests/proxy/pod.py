"""One pod, in namespaces of its own: the real agent with real openssl and real Envoy, an identity service, and a
destination service that knows no listeners. Run by test_agent.py under `unshare`; prints what it saw as JSON."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from prometheus_client import CollectorRegistry

from isthmus.identity import main as identity
from isthmus.identity.authority import Authority
from isthmus.identity.ca import Refusal, Validity
from isthmus.identity.tokens import Account
from isthmus.kube import pki
from isthmus.proxy import agent as _compiled  # noqa: F401 - so that memory is measured without the compiler

DOMAIN = "td.example"
HOSTS = ("linkerd-identity.linkerd.svc.cluster.local", "linkerd-dst.linkerd.svc.cluster.local")
METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
ELSEWHERE = "10.9.9.9"
DEADLINE = 20.0


class Tokens:
    """Knows the pod's token."""

    async def account(self, token: str) -> Account:
        if token != "the-pods-token":
            raise Refusal("bad_token", "the Kubernetes API does not accept the token", status=401)
        return Account("shop", "web")


class Ads(grpc.GenericRpcHandler):
    """Answers that there is nothing, to anybody whose certificate the trust anchors vouch for."""

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(self.serve) if details.method == METHOD else None

    async def serve(self, requests: Any, context: Any) -> None:
        async for body in requests:
            asked = discovery_pb2.DeltaDiscoveryRequest.FromString(body)
            if not asked.response_nonce:
                answer = discovery_pb2.DeltaDiscoveryResponse(type_url=asked.type_url, nonce="1")
                await context.write(answer.SerializeToString())


class Pod:
    """The agent and what it needs."""

    def __init__(self, folder: Path, *, lifetime: timedelta) -> None:
        self.folder = folder
        self.directory = folder / "end-entity"
        self.authority = Authority(
            trust_domain=DOMAIN, cluster_domain="cluster.local", validity=Validity(lifetime=lifetime)
        )
        root = pki.make_root("root")
        issuer = pki.make_issuer(root, common_name="issuer")
        self.files = {"tls.crt": issuer.cert_pem, "tls.key": issuer.key_pem, "ca-bundle.crt": root.cert_pem}
        self.usable = asyncio.Event()
        (folder / "token").write_text("the-pods-token\n")
        self.identity_port = free_port()
        self.destination_port = free_port()
        self.log = folder / "agent.log"

    def start_agent(self) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "ISTHMUS_ENVOY": os.environ["ISTHMUS_ENVOY"],
            "ISTHMUS_POD_NAME": "web-0",
            "ISTHMUS_POD_NAMESPACE": "shop",
            "ISTHMUS_SERVICE_ACCOUNT": "web",
            "ISTHMUS_TRUST_DOMAIN": DOMAIN,
            "ISTHMUS_TRUST_ANCHORS": self.files["ca-bundle.crt"],
            "ISTHMUS_IDENTITY_ADDR": f"{HOSTS[0]}:{self.identity_port}",
            "ISTHMUS_DESTINATION_ADDR": f"{HOSTS[1]}:{self.destination_port}",
            "ISTHMUS_IDENTITY_DIR": str(self.directory),
            "ISTHMUS_TOKEN_FILE": str(self.folder / "token"),
            "ISTHMUS_LOG_LEVEL": "trace",
        }
        command = [sys.executable, "-I", "-m", "isthmus.proxy"]
        return subprocess.Popen(command, env=environment, stdout=self.log.open("wb"), stderr=subprocess.STDOUT)

    async def serve_identity(self) -> None:
        bound = asyncio.get_running_loop().create_future()
        await identity.serve(
            self.authority,
            self.usable,
            Tokens(),
            listen=f"127.0.0.1:{self.identity_port}",
            registry=CollectorRegistry(),
            bound=bound,
        )

    def identity_appears(self) -> None:
        self.authority.adopt(self.files)
        self.usable.set()

    async def start_destination(self) -> grpc.aio.Server:
        key = pki.make_key()
        uri = f"spiffe://{DOMAIN}/ns/linkerd/sa/linkerd-destination"
        name = f"linkerd-destination.linkerd.serviceaccount.identity.linkerd.{DOMAIN}"
        request = pki.make_request(key, uris=[uri], dns_names=[name])
        leaf = self.authority.sign(request, namespace="linkerd", service_account="linkerd-destination")
        credentials = grpc.ssl_server_credentials(
            [(pki.key_pem(key).encode(), leaf.chain_pem.encode())], self.files["ca-bundle.crt"].encode(), True
        )
        server = grpc.aio.server(handlers=[Ads()])
        server.add_secure_port(f"127.0.0.1:{self.destination_port}", credentials)
        await server.start()
        return server

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def ask(method: str, path: str, *, source: str = "127.0.0.1", port: int = 4191) -> tuple[int, str]:
    with socket.create_connection(("127.0.0.1", port), 5, (source, 0)) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body


async def until(condition: Callable[[], Any], what: str, pod: Pod) -> Any:
    """The condition's value once it holds."""

    def attempt() -> Any:
        try:
            return condition()
        except OSError:
            return None

    try:
        async with asyncio.timeout(DEADLINE):
            while not (value := await asyncio.to_thread(attempt)):  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(0.02)
            return value
    except TimeoutError:
        raise SystemExit(f"never: {what}\n{pod.said}") from None


def sample(text: str, name: str) -> float:
    return next((float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} ")), 0.0)


async def a_whole_life(pod: Pod, agent: subprocess.Popen[bytes], seen: dict[str, Any]) -> None:
    await until(lambda: "refuses connections" in pod.said, "the agent explains why it waits", pod)
    seen["before"] = ask("GET", "/ready")
    seen["live before"] = ask("GET", "/live")[0]
    pod.identity_appears()
    destination = await pod.start_destination()
    await until(lambda: ask("GET", "/ready")[0] == 200, "ready", pod)
    seen["private kB"] = private_memory(agent.pid)
    seen["secret mode"] = oct((pod.directory / "workload.json").stat().st_mode & 0o777)
    seen["files with a key"] = [
        file.name for file in pod.folder.rglob("*") if file.is_file() and b"PRIVATE KEY" in file.read_bytes()
    ]
    names = json.loads((pod.directory / "workload.json").read_text())["tls_certificate"]
    seen["uris"] = pki.describe(names["certificate_chain"]["inline_string"])[0].uris
    seen["stuck"] = stuck = [half_a_request() for _ in range(20)]
    seen["rubbish"] = [rubbish(content) for content in (b"\0" * 100, b"GET / HTTP/1.1", b"x" * 20000 + b"\r\n\r\n")]
    seen["ready despite them"] = ask("GET", "/ready")[0]
    seen["stuck"] = len(stuck)
    metrics = await until(renewed, "a renewed certificate", pod)
    seen["expires"] = sample(metrics, "identity_cert_expiration_timestamp_seconds")
    seen["envoy metrics"] = "envoy_server_live" in metrics
    seen["taken by Envoy"] = await until(taken_by_envoy, "Envoy takes the renewed certificates", pod)
    envoy = await until(lambda: children(agent.pid), "Envoy is found", pod)
    seen["inotify"] = [name for name in open_files(*envoy) if "inotify" in name]
    seen["shutdown from elsewhere"] = ask("POST", "/shutdown", source=ELSEWHERE)
    seen["shutdown by GET"] = ask("GET", "/shutdown")[0]
    seen["still ready"] = ask("GET", "/ready")[0]
    seen["shutdown"] = ask("POST", "/shutdown")[0]
    seen["exit"] = await asyncio.to_thread(agent.wait, DEADLINE)
    await destination.stop(0)


async def envoy_dies(pod: Pod, agent: subprocess.Popen[bytes], seen: dict[str, Any]) -> None:
    pod.identity_appears()
    envoy = await until(lambda: children(agent.pid), "Envoy starts", pod)
    await until(lambda: ask("GET", "/ready", port=4192)[0], "Envoy answers", pod)
    for child in envoy:
        os.kill(child, signal.SIGKILL)
    seen["exit"] = await asyncio.to_thread(agent.wait, DEADLINE)


async def terminated_while_waiting(pod: Pod, agent: subprocess.Popen[bytes], seen: dict[str, Any]) -> None:
    await until(lambda: "refuses connections" in pod.said, "the agent waits", pod)
    agent.terminate()
    seen["exit"] = await asyncio.to_thread(agent.wait, DEADLINE)


def renewed() -> str | None:
    metrics = ask("GET", "/metrics")[1]
    return metrics if sample(metrics, "identity_cert_refresh_count") >= 3 else None


def taken_by_envoy() -> int:
    stats = ask("GET", "/stats?filter=ssl_context_update_by_sds", port=4192)[1]
    counts = [int(line.rpartition(": ")[2]) for line in stats.splitlines() if "ssl_context_update_by_sds: " in line]
    return max(counts, default=0) if max(counts, default=0) >= 3 else 0


def children(pid: int) -> list[int]:
    listed = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [each for each in listed if "envoy" in Path(f"/proc/{each}/cmdline").read_text().split("\0")[0]]


def open_files(pid: int) -> list[str]:
    return [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]


def private_memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("RssAnon:")[1].split()[0])


def half_a_request() -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", 4191), 5)
    connection.sendall(b"GET /ready HT")
    return connection


def rubbish(content: bytes) -> str:
    with socket.create_connection(("127.0.0.1", 4191), 5) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        try:
            return connection.recv(100).decode().split("\r\n")[0]
        except ConnectionResetError:
            return "reset"


def furnish(folder: Path) -> None:
    """The pod's own loopback and hosts file. Only inside `unshare`."""
    hosts = folder / "hosts"
    hosts.write_text("".join(f"127.0.0.1 {host}\n" for host in ("localhost", *HOSTS)))
    commands = ("ip link set lo up", f"ip address add {ELSEWHERE}/32 dev lo", f"mount --bind {hosts} /etc/hosts")
    for command in commands:
        subprocess.run(command.split(), check=True)


async def play(scenario: Callable[..., Any], pod: Pod) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(pod.serve_identity())
        agent = pod.start_agent()
        try:
            await scenario(pod, agent, seen)
        finally:
            agent.kill()
            agent.wait()
            serving.cancel()
    return seen | {"log": pod.said}


def main(name: str) -> None:
    scenario, lifetime = SCENARIOS[name]
    with tempfile.TemporaryDirectory(prefix="isthmus-pod-") as made:
        folder = Path(made)
        furnish(folder)
        print(json.dumps(asyncio.run(play(scenario, Pod(folder, lifetime=lifetime))), default=str))


SCENARIOS = {
    "a whole life": (a_whole_life, timedelta(seconds=2)),
    "Envoy dies": (envoy_dies, timedelta(hours=24)),
    "terminated while waiting": (terminated_while_waiting, timedelta(hours=24)),
}

if __name__ == "__main__":
    main(sys.argv[1])
