"""The identity service over real TLS: who gets a certificate, who does not, and what they are told."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from prometheus_client import CollectorRegistry

from isthmus.identity import main as process
from isthmus.identity.authority import Authority, wall_clock
from isthmus.identity.ca import Validity
from isthmus.identity.tokens import TokenReviewer
from isthmus.kube import pki, tls

TRUST_DOMAIN = "root-0123456789abcdef.cluster.local"
HOST = "linkerd-identity.linkerd.svc.cluster.local"
AUDIENCE = "identity.l5d.io"


class Service:
    """A running identity service and its clock."""

    def __init__(self, port: int, authority: Authority, registry: CollectorRegistry) -> None:
        self.port = port
        self.authority = authority
        self.registry = registry

    async def post(self, anchors: str, *, host: str = HOST, **arguments: Any) -> tuple[int, Any]:
        context = tls.client_context(anchors)
        url = f"https://127.0.0.1:{self.port}/certify"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, ssl=context, server_hostname=host, **arguments) as answer,
        ):
            return answer.status, await answer.json()


@asynccontextmanager
async def running(api, files, *, clock=wall_clock, lifetime=timedelta(hours=24)) -> AsyncIterator[Service]:
    authority = Authority(
        trust_domain=TRUST_DOMAIN, cluster_domain="cluster.local", validity=Validity(lifetime=lifetime), clock=clock
    )
    authority.adopt(files)
    usable, registry = asyncio.Event(), CollectorRegistry()
    usable.set()
    bound = asyncio.get_running_loop().create_future()
    async with api.client() as client, asyncio.TaskGroup() as group:
        task = group.create_task(
            process.serve(
                authority, usable, TokenReviewer(client), listen="127.0.0.1:0", registry=registry, bound=bound
            )
        )
        yield Service(await bound, authority, registry)
        task.cancel()


def request_for(namespace: str, account: str, domain: str = TRUST_DOMAIN) -> str:
    return pki.make_request(
        pki.make_key(),
        uris=[f"spiffe://{domain}/ns/{namespace}/sa/{account}"],
        dns_names=[f"{account}.{namespace}.serviceaccount.identity.linkerd.{domain}"],
    )


@pytest.fixture
def known(api):
    api.add("good", username="system:serviceaccount:shop:web", audiences=[AUDIENCE])
    api.add("for-the-api-server", username="system:serviceaccount:shop:web", audiences=["https://kubernetes"])
    api.add("a-person", username="jane", audiences=[AUDIENCE])
    return api


async def test_a_pod_gets_a_certificate_for_its_own_account(known, authorities):
    async with running(known, authorities.files) as service:
        status, answer = await service.post(
            authorities.root.cert_pem, json={"csr": request_for("shop", "web"), "token": "good"}
        )
    assert status == 200
    leaf, issuer = pki.describe(answer["certificate"])
    assert leaf.uris == (f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/web",)
    assert issuer.subject == "CN=identity.linkerd.cluster.local"
    assert answer["trust_anchors"] == authorities.root.cert_pem
    assert answer["trust_domain"] == TRUST_DOMAIN
    assert answer["expires_at"] == f"{leaf.not_after:%Y-%m-%dT%H:%M:%SZ}"
    assert service.registry.get_sample_value("identity_certificates_issued_total") == 1


@pytest.mark.parametrize(
    ("token", "account", "status", "words"),
    [
        ("forged", "web", 401, "expired or forged"),
        ("for-the-api-server", "web", 401, "expired or forged"),
        ("a-person", "web", 401, "does not belong to a service account"),
        ("", "web", 401, "empty"),
        ("good", "admin", 403, "the token speaks for"),
    ],
)
async def test_everybody_else_is_told_why_not(known, authorities, token, account, status, words):
    async with running(known, authorities.files) as service:
        got, answer = await service.post(
            authorities.root.cert_pem, json={"csr": request_for("shop", account), "token": token}
        )
    assert got == status
    assert words in answer["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b'{"csr": 1, "token": "good"}', 400), (b"x" * 200_000, 413)],
)
async def test_rubbish_is_answered_in_words_and_never_reaches_the_api_server(known, authorities, body, status):
    async with running(known, authorities.files) as service:
        got, answer = await service.post(authorities.root.cert_pem, data=body)
    assert got == status
    assert answer["error"]
    assert known.reviews == 0


async def test_an_api_server_in_trouble_is_a_503_that_says_so(known, authorities):
    known.broken = True
    async with running(known, authorities.files) as service:
        status, answer = await service.post(
            authorities.root.cert_pem, json={"csr": request_for("shop", "web"), "token": "good"}
        )
        reasons = service.registry.get_sample_value("identity_requests_refused_total", {"reason": "review_failed"})
    assert status == 503
    assert "did not review the token" in answer["error"]
    assert reasons == 1


async def test_the_server_proves_its_name_by_the_trust_anchors(known, authorities, other_authorities):
    async with running(known, authorities.files) as service:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await service.post(other_authorities.root.cert_pem, json={})
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await service.post(authorities.root.cert_pem, host="evil.example", json={})


async def test_old_tls_is_refused(known, authorities):
    context = tls.client_context(authorities.root.cert_pem)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with running(known, authorities.files) as service:
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await asyncio.open_connection("127.0.0.1", service.port, ssl=context, server_hostname=HOST)


async def test_a_new_issuer_is_used_at_once_for_leaves_and_for_the_server(known, authorities, other_authorities):
    body = {"csr": request_for("shop", "web"), "token": "good"}
    async with running(known, authorities.files) as service:
        await service.post(authorities.root.cert_pem, json=body)
        service.authority.adopt(other_authorities.files)
        status, answer = await service.post(other_authorities.root.cert_pem, json=body)
    assert status == 200
    assert answer["trust_anchors"] == other_authorities.root.cert_pem
    issuer = x509.load_pem_x509_certificates(answer["certificate"].encode())[1]
    assert pki.certificate_pem(issuer) == other_authorities.issuer.cert_pem


async def test_an_unusable_new_issuer_leaves_the_old_one_in_use(known, authorities, other_authorities):
    mixed = authorities.files | {"tls.key": other_authorities.files["tls.key"]}
    async with running(known, authorities.files) as service:
        with pytest.raises(pki.CertificateError):
            service.authority.adopt(mixed)
        status, _ = await service.post(
            authorities.root.cert_pem, json={"csr": request_for("shop", "web"), "token": "good"}
        )
    assert status == 200


async def test_the_servers_own_certificate_is_renewed_in_time(known, authorities):
    offset = timedelta()
    async with running(known, authorities.files, clock=lambda: wall_clock() + offset) as service:
        assert not service.authority.renew_serving_certificate()
        before = await serving_certificate(service.port, authorities)
        offset = timedelta(hours=17)
        assert service.authority.renew_serving_certificate()
        assert await serving_certificate(service.port, authorities) > before


async def serving_certificate(port: int, authorities) -> Any:
    """When the certificate that the server presents was made. Its day may be in the future of our own clock."""
    context = tls.client_context(authorities.root.cert_pem)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=HOST)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der).not_valid_after_utc


async def test_an_issuer_that_is_not_valid_yet_is_used_when_it_is(authorities, tmp_path):
    for name, content in authorities.files.items():
        (tmp_path / name).write_text(content)
    behind, looked = timedelta(days=1), asyncio.Event()

    def clock():
        looked.set()
        return wall_clock() - behind

    authority = Authority(trust_domain=TRUST_DOMAIN, cluster_domain="cluster.local", clock=clock)
    usable = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(process.follow(authority, usable, issuer=tmp_path, roots=tmp_path, every=0.01))
        await looked.wait()
        assert not usable.is_set()
        behind = timedelta(0)
        await usable.wait()
        task.cancel()


async def test_files_that_change_are_adopted(api, authorities, other_authorities, tmp_path):
    for name, content in authorities.files.items():
        (tmp_path / name).write_text(content)
    authority = Authority(trust_domain=TRUST_DOMAIN, cluster_domain="cluster.local")
    usable = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(process.follow(authority, usable, issuer=tmp_path, roots=tmp_path, every=0.01))
        await usable.wait()
        usable.clear()
        for name, content in other_authorities.files.items():
            (tmp_path / name).write_text(content)
        await usable.wait()
        while authority.issuer.trust_anchors != other_authorities.root.cert_pem:
            await usable.wait()
            usable.clear()
        task.cancel()
