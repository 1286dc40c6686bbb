"""A lab cluster's certificates let kubectl in, and nobody else."""

import asyncio
import base64
import ssl
import time
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from isthmus.lab import pki


@pytest.fixture
def west(tmp_path: Path) -> pki.Pki:
    return pki.create(tmp_path / "west", cluster="west", node_ip="172.30.0.11")


async def handshake(server: ssl.SSLContext, client: ssl.SSLContext, *, name: str) -> dict[str, object] | None:
    """Connect once; what the server learned of the client."""
    seen: asyncio.Future[dict[str, object] | None] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(writer.get_extra_info("peercert"))
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
    try:
        port = listener.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        peer = await asyncio.wait_for(seen, 5)
        writer.close()
        return peer
    finally:
        listener.close()


@pytest.mark.parametrize("name", ["127.0.0.1", "172.30.0.11", "10.96.0.1", "kubernetes.default.svc.cluster.local"])
async def test_the_server_is_known_by_every_name_it_is_reached_by(west: pki.Pki, name: str) -> None:
    await handshake(west.server_context(), west.client_context(), name=name)


async def test_the_server_learns_the_administrator_from_the_certificate(west: pki.Pki) -> None:
    peer = await handshake(west.server_context(), west.client_context(), name="localhost")
    assert peer is not None
    assert peer["subject"] == ((("organizationName", "system:masters"),), (("commonName", "kubernetes-admin"),))


async def test_a_client_without_a_certificate_gets_through_to_authentication(west: pki.Pki) -> None:
    peer = await handshake(west.server_context(), ssl.create_default_context(cafile=str(west.ca)), name="localhost")
    assert not peer


async def test_clusters_do_not_trust_each_other(west: pki.Pki, tmp_path: Path) -> None:
    east = pki.create(tmp_path / "east", cluster="east", node_ip="172.30.0.12")
    with pytest.raises(ssl.SSLCertVerificationError):
        await handshake(east.server_context(), west.client_context(), name="localhost")


def test_keys_are_for_the_owner_only(west: pki.Pki) -> None:
    keys = list(west.directory.glob("*.key"))
    assert {key.name for key in keys} == {"ca.key", "apiserver.key", "admin.key", "node.key", "sa.key"}
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}


def test_a_cluster_costs_less_than_50_ms(tmp_path: Path) -> None:
    costs = []
    for attempt in range(3):
        began = time.perf_counter()
        pki.create(tmp_path / str(attempt), cluster="c", node_ip="172.30.0.11")
        costs.append(time.perf_counter() - began)
    assert min(costs) < 0.05


def test_one_kubeconfig_has_a_context_per_cluster(west: pki.Pki, tmp_path: Path) -> None:
    east = pki.create(tmp_path / "east", cluster="east", node_ip="172.30.0.12")
    file = tmp_path / "kubeconfig"
    pki.kubeconfig(file, {"cluster-west": (west, "https://127.0.0.1:1"), "cluster-east": (east, "https://127.0.0.1:2")})
    config = yaml.safe_load(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    assert config["current-context"] == "cluster-west"
    assert [context["name"] for context in config["contexts"]] == ["cluster-west", "cluster-east"]
    assert [entry["cluster"]["server"] for entry in config["clusters"]] == [
        "https://127.0.0.1:1",
        "https://127.0.0.1:2",
    ]
    ca = base64.b64decode(config["clusters"][1]["cluster"]["certificate-authority-data"])
    user = base64.b64decode(config["users"][1]["user"]["client-certificate-data"])
    x509.load_pem_x509_certificate(user).verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
