"""A control-plane process gets its certificate from the identity service over real TLS, and keeps it fresh."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from aiohttp import web

from isthmus.kube import pki, tls
from isthmus.kube.workload import Credentials, NotIssuedError, WorkloadCertificate

ROOT = pki.make_root("root")
SERVER = pki.make_server_certificate(ROOT, dns_names=["linkerd-identity.linkerd.svc.cluster.local"])


class Identity:
    """Answers as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.answers: list[tuple[int, object]] = []
        self.issuer = "first"

    async def who_signs(self, _: web.Request) -> web.Response:
        return web.json_response({"issuer": self.issuer})

    async def certify(self, request: web.Request) -> web.Response:
        self.asked.append(msgspec.json.decode(await request.read()))
        status, body = (
            self.answers.pop(0)
            if self.answers
            else (
                200,
                issued(timedelta(hours=1)) | {"issuer": self.issuer},
            )
        )
        return web.Response(status=status, body=msgspec.json.encode(body))


def issued(lifetime: timedelta) -> dict[str, str]:
    expires = datetime.now(UTC) + lifetime
    return {"certificate": SERVER.cert_pem, "trust_anchors": ROOT.cert_pem, "expires_at": expires.isoformat()}


@pytest.fixture
def identity() -> Identity:
    return Identity()


@asynccontextmanager
async def certificate_from(identity: Identity, tmp_path, **arguments) -> AsyncIterator[WorkloadCertificate]:
    (tmp_path / "token").write_text("the-token\n")
    application = web.Application()
    application.router.add_post("/certify", identity.certify)
    application.router.add_get("/issuer", identity.who_signs)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls.server_context(SERVER)).start()
    try:
        yield WorkloadCertificate(
            trust_domain="td.example",
            service_account="linkerd-destination",
            token_path=tmp_path / "token",
            address=f"127.0.0.1:{runner.addresses[0][1]}",
            **{"trust_anchors": lambda: ROOT.cert_pem} | arguments,
        )
    finally:
        await runner.cleanup()


async def test_it_asks_for_its_own_names_with_its_token(identity, tmp_path):
    async with certificate_from(identity, tmp_path) as certificate:
        credentials = await certificate.request()
    (asked,) = identity.asked
    assert asked["token"] == "the-token"
    assert credentials.chain_pem == SERVER.cert_pem
    assert credentials.key_pem.startswith("-----BEGIN PRIVATE KEY-----")
    assert credentials.key_pem not in repr(credentials)


async def test_an_identity_service_of_another_root_is_not_given_the_token(identity, tmp_path):
    other = pki.make_root("other")
    async with certificate_from(identity, tmp_path, trust_anchors=lambda: other.cert_pem) as certificate:
        with pytest.raises(NotIssuedError, match="cannot be asked"):
            await certificate.request()
    assert identity.asked == []


async def test_a_refusal_is_passed_on_in_words(identity, tmp_path):
    identity.answers = [(403, {"error": "the token speaks for somebody else"})]
    async with certificate_from(identity, tmp_path) as certificate:
        with pytest.raises(NotIssuedError, match=r"refused it \(403\): the token speaks for somebody else"):
            await certificate.request()


def test_a_clock_far_ahead_does_not_make_it_ask_all_the_time():
    now = datetime.now(UTC)
    made = Credentials("", "", "", issued_at=now, expires_at=now - timedelta(days=1))
    assert made.renew_at >= now + timedelta(seconds=1)


async def test_it_tries_again_after_a_failure_and_renews_before_expiry(identity, tmp_path):
    identity.answers = [(503, {"error": "later"}), (200, issued(timedelta(seconds=0.2))), (200, "rubbish")]
    changes: asyncio.Queue = asyncio.Queue()
    async with (
        certificate_from(identity, tmp_path, on_change=changes.put_nowait) as certificate,
        asyncio.timeout(10),
        asyncio.TaskGroup() as group,
    ):
        assert not certificate.valid
        task = group.create_task(certificate.run())
        first, second = await changes.get(), await changes.get()
        assert await certificate.wait() == second
        assert certificate.valid
        task.cancel()
    assert first.key_pem != second.key_pem
    assert len(identity.asked) == 4


async def test_a_certificate_of_a_former_issuer_is_replaced_before_its_time(identity, tmp_path, monkeypatch):
    monkeypatch.setattr("isthmus.kube.workload.CHECK_SECONDS", 0.01)
    seen: asyncio.Queue[Credentials] = asyncio.Queue()
    async with (
        certificate_from(identity, tmp_path, on_change=seen.put_nowait) as certificate,
        asyncio.TaskGroup() as tasks,
    ):
        running = tasks.create_task(certificate.run())
        assert (await seen.get()).issuer == "first"
        identity.issuer = "second"
        async with asyncio.timeout(5):
            assert (await seen.get()).issuer == "second"
        running.cancel()
    assert len(identity.asked) == 2
