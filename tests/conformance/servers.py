"""The API servers that the suite runs against, each as the processes it really is.

`lab` is the lab's own. `kubernetes` is etcd and kube-apiserver from the folder that KUBEBUILDER_ASSETS names, started
as envtest starts them; it runs no controllers, so what controllers do is not asked of it.
"""

import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from isthmus.lab import pki
from isthmus.lab.pki import Pki

ASSETS = "KUBEBUILDER_ASSETS"
PROGRAMS = ("etcd", "kube-apiserver")
ISSUER = "https://kubernetes.default.svc.cluster.local"
SECONDS = 60
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Server:
    """A running API server, and the certificates that lead to it."""

    url: str
    pki: Pki
    controllers: bool


def assets() -> Path | None:
    """The folder with a real API server, if the environment names one."""
    named = os.environ.get(ASSETS)
    return Path(named) if named else None


def names() -> list[str]:
    """The servers there are to test here."""
    return ["lab", "kubernetes"] if assets() else ["lab"]


@contextmanager
def started(name: str, folder: Path) -> Iterator[Server]:
    """One of `names`, until the end of the block."""
    keys = pki.create(folder / "pki", cluster="test", node_ip="127.0.0.1")
    with (_lab if name == "lab" else _kubernetes)(folder, keys) as server:
        yield server


@contextmanager
def _lab(folder: Path, keys: Pki) -> Iterator[Server]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        serve = [sys.executable, "-m", "isthmus.lab.api", "--cluster", "test", "--data-dir", str(folder)]
        serve += ["--pki-dir", str(keys.directory), "--listen-fd", str(listener.fileno())]
        serve += ["--kubelet-socket", str(folder / "kubelet.sock")]
        with _running(serve, folder / "apiserver.log", listener.fileno()) as process:
            _await(process, f"{url}/readyz", folder / "apiserver.log", keys.client_context())
            pki.kubeconfig(folder / "kubeconfig", {"test": (keys, url)})
            control = [sys.executable, "-m", "tests.conformance.controllers", str(folder / "kubeconfig")]
            with _running([*control, str(keys.directory)], folder / "controllers.log"):
                yield Server(url, keys, controllers=True)


@contextmanager
def _kubernetes(folder: Path, keys: Pki) -> Iterator[Server]:
    programs = assets()
    assert programs is not None
    for program in PROGRAMS:
        assert (programs / program).is_file(), f"{ASSETS} names {programs}, and there is no {program} in it"
    public = load_pem_private_key(keys.account_key.read_bytes(), None).public_key()
    account_key = folder / "sa.pub"
    account_key.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    clients, peers, port = _free_ports(3)
    store, peer = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}"
    etcd = [str(programs / "etcd"), "--name=test", f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync"]
    etcd += [f"--listen-client-urls={store}", f"--advertise-client-urls={store}", f"--listen-peer-urls={peer}"]
    etcd += [f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=test={peer}"]
    serve = [
        str(programs / "kube-apiserver"),
        f"--etcd-servers={store}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--cert-dir={folder}",
        f"--tls-cert-file={keys.certificate('apiserver')}",
        f"--tls-private-key-file={keys.key('apiserver')}",
        f"--client-ca-file={keys.ca}",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={account_key}",
        f"--service-account-signing-key-file={keys.account_key}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
    ]
    url = f"https://127.0.0.1:{port}"
    with _running(etcd, folder / "etcd.log") as database:
        _await(database, f"{store}/health", folder / "etcd.log")
        with _running(serve, folder / "apiserver.log") as process:
            _await(process, f"{url}/readyz", folder / "apiserver.log", keys.client_context())
            yield Server(url, keys, controllers=False)


@contextmanager
def _running(command: list[str], log: Path, *fds: int) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, pass_fds=fds, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _await(process: subprocess.Popen[bytes], url: str, log: Path, tls: ssl.SSLContext | None = None) -> None:
    """Wait until a server says that it is ready."""
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        assert process.poll() is None, f"{process.args} ended: {log.read_text()[-2000:]}"
        try:
            with urllib.request.urlopen(url, timeout=2, context=tls) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise AssertionError(f"{url} was not ready in {SECONDS} s: {log.read_text()[-2000:]}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports
