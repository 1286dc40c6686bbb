"""An ADS client and server in one process, with real mutual TLS."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from envoy.service.discovery.v3 import discovery_pb2

from isthmus.destination import server
from isthmus.kube import pki


def leaf(root: pki.KeyPair, spiffe_id: str) -> pki.KeyPair:
    """A workload certificate signed by the root itself."""
    key = pki.make_key()
    authority = pki.load_certificates(root.cert_pem)[0]
    signer = load_pem_private_key(root.key_pem.encode(), None)
    now = datetime.now(UTC)
    names = [x509.UniformResourceIdentifier(spiffe_id), x509.DNSName("linkerd-dst.test")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(pki.DIGITAL_SIGNATURE_ONLY, critical=True)
        .add_extension(pki.SERVER_AND_CLIENT, critical=False)
        .sign(signer, hashes.SHA256())  # type: ignore[arg-type]
    )
    return pki.KeyPair(pki.certificate_pem(certificate), pki.key_pem(key))


def shown(pair: pki.KeyPair, root: pki.KeyPair) -> server.Shown:
    return server.Shown(chain=pair.cert_pem, key=pair.key_pem, roots=root.cert_pem)


class AdsClient:
    """One stream, speaking bytes."""

    def __init__(self, call: Any, node: str) -> None:
        self._call = call
        self._node = node

    async def send(self, type_url: str, *subscribe: str, **fields: Any) -> None:
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=type_url, resource_names_subscribe=subscribe, node={"id": self._node}, **fields
        )
        await self._call.write(request.SerializeToString())

    async def receive(self) -> Any:
        async with asyncio.timeout(5):
            body = await self._call.read()
        assert isinstance(body, bytes), body
        return discovery_pb2.DeltaDiscoveryResponse.FromString(body)

    async def acknowledge(self, response: Any, **fields: Any) -> None:
        await self.send(response.type_url, response_nonce=response.nonce, **fields)

    async def failure(self) -> tuple[grpc.StatusCode, str]:
        async with asyncio.timeout(10):
            return await self._call.code(), await self._call.details()


@asynccontextmanager
async def connected(port: int, root: pki.KeyPair, pair: pki.KeyPair, node: str) -> AsyncIterator[AdsClient]:
    credentials = grpc.ssl_channel_credentials(root.cert_pem.encode(), pair.key_pem.encode(), pair.cert_pem.encode())
    options = [("grpc.ssl_target_name_override", "linkerd-dst.test")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        call = channel.stream_stream(server.METHOD)()
        yield AdsClient(call, node)
        call.cancel()
