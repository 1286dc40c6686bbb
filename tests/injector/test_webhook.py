"""The webhook as the API server calls it: HTTPS, AdmissionReview in and out."""

import argparse
import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from isthmus.injector import main as process
from isthmus.injector.mounted import Mounted
from isthmus.injector.server import Webhook
from isthmus.kube import pki, tls
from isthmus.kube.errors import Unreachable

HOST = "linkerd-proxy-injector.linkerd.svc"
ROOT = pki.make_root("webhook")
POD = {"metadata": {"generateName": "web-"}, "spec": {"containers": [{"name": "web"}]}}


class Namespaces:
    """The API server's namespaces, as far as the webhook asks for them."""

    def __init__(self) -> None:
        self.annotations: dict[str, Mapping[str, str]] = {"shop": {"linkerd.io/inject": "enabled"}, "plain": {}}
        self.away = False

    async def __call__(self, namespace: str) -> Mapping[str, str]:
        if self.away:
            raise Unreachable("the API server does not answer")
        return self.annotations[namespace]


class Clock:
    """The time of day, until somebody turns it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Service:
    def __init__(self, port: int, registry: CollectorRegistry, mounted: Mounted) -> None:
        self.port = port
        self.registry = registry
        self.mounted = mounted

    async def post(self, body: bytes, *, path: str = "/", trusting: str = ROOT.cert_pem) -> tuple[int, bytes]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"https://127.0.0.1:{self.port}{path}",
                data=body,
                ssl=tls.client_context(trusting),
                server_hostname=HOST,
            ) as answer,
        ):
            return answer.status, await answer.read()

    async def review(self, pod: Mapping[str, Any], namespace: str = "shop", **arguments: Any) -> dict[str, Any]:
        request = {"uid": "abc", "namespace": namespace, "operation": "CREATE", "object": pod}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        status, body = await self.post(msgspec.json.encode(review), **arguments)
        assert status == 200, body
        answer = msgspec.json.decode(body)
        assert answer["kind"] == "AdmissionReview"
        assert answer["apiVersion"] == "admission.k8s.io/v1"
        assert answer["response"]["uid"] == "abc"
        response: dict[str, Any] = answer["response"]
        return response


@pytest.fixture
def namespaces() -> Namespaces:
    return Namespaces()


@asynccontextmanager
async def running(namespaces: Namespaces, folder, *, clock: Clock | None = None) -> AsyncIterator[Service]:
    write_certificate(folder, ROOT)
    (folder / "ca-bundle.crt").write_text(ROOT.cert_pem)
    flags: argparse.Namespace = process.parser().parse_args(
        ["--trust-domain=td.example", f"--tls-dir={folder}", f"--trust-anchors-file={folder / 'ca-bundle.crt'}"]
    )
    mounted, registry = process.mounted_by(flags, clock or Clock()), CollectorRegistry()
    bound = asyncio.get_running_loop().create_future()
    webhook = Webhook(mounted.current, namespaces, registry)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(mounted.follow_certificate(every=0.01)),
            group.create_task(mounted.renew_certificate(every=0.01)),
            group.create_task(mounted.follow_trust_anchors(every=0.01)),
            group.create_task(process.serve(mounted, webhook, listen="127.0.0.1:0", bound=bound)),
        ]
        yield Service(await bound, registry, mounted)
        for task in tasks:
            task.cancel()


def write_certificate(folder, root: pki.KeyPair) -> None:
    pair = pki.make_server_certificate(root, dns_names=[HOST])
    (folder / "tls.crt").write_text(pair.cert_pem)
    (folder / "tls.key").write_text(pair.key_pem)


@pytest.mark.parametrize("path", ["/", "/inject"])
async def test_a_pod_is_injected_by_a_json_patch(namespaces, tmp_path, path):
    async with running(namespaces, tmp_path) as service:
        response = await service.review(POD, path=path)
    assert response["allowed"]
    assert response["patchType"] == "JSONPatch"
    patch = msgspec.json.decode(base64.b64decode(response["patch"]))
    assert {operation["path"] for operation in patch} == {
        "/metadata/annotations",
        "/metadata/labels",
        "/spec/volumes",
        "/spec/initContainers",
    }
    count = service.registry.get_sample_value("proxy_inject_admission_responses_total", {"decision": "inject"})
    assert count == 1


async def test_a_pod_of_an_unmeshed_namespace_passes_untouched(namespaces, tmp_path):
    async with running(namespaces, tmp_path) as service:
        response = await service.review(POD, namespace="plain")
    assert response["allowed"]
    assert "patch" not in response


async def test_a_pod_with_an_unreadable_annotation_is_refused_in_words(namespaces, tmp_path):
    pod = POD | {"metadata": {"annotations": {"config.linkerd.io/opaque-ports": "web"}}}
    async with running(namespaces, tmp_path) as service:
        response = await service.review(pod)
    assert not response["allowed"]
    assert "config.linkerd.io/opaque-ports" in response["status"]["message"]


async def test_annotations_without_effect_are_shown_to_whoever_applied_the_pod(namespaces, tmp_path):
    pod = POD | {"metadata": {"annotations": {"config.linkerd.io/proxy-await": "enabled"}}}
    async with running(namespaces, tmp_path) as service:
        response = await service.review(pod)
    assert response["allowed"]
    assert "proxy-await" in response["warnings"][0]


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'{"request": 5}', b"\xff\xfe"])
async def test_rubbish_is_a_400(namespaces, tmp_path, body):
    async with running(namespaces, tmp_path) as service:
        status, _ = await service.post(body)
    assert status == 400


async def test_when_the_namespace_cannot_be_read_the_failure_policy_decides(namespaces, tmp_path):
    namespaces.away = True
    review = {"request": {"uid": "abc", "namespace": "shop", "object": POD}}
    async with running(namespaces, tmp_path) as service:
        status, _ = await service.post(msgspec.json.encode(review))
    assert status == 503


async def test_a_new_certificate_and_new_roots_are_used_without_a_restart(namespaces, tmp_path):
    new = pki.make_root("new")
    async with running(namespaces, tmp_path) as service:
        await service.review(POD)
        write_certificate(tmp_path, new)
        (tmp_path / "ca-bundle.crt").write_text(new.cert_pem)
        while service.mounted.current().trust_anchors != new.cert_pem:  # noqa: ASYNC110
            await asyncio.sleep(0)
        response = await answered(service, new)
    patch = {each["path"]: each["value"] for each in msgspec.json.decode(base64.b64decode(response["patch"]))}
    proxy = patch["/spec/initContainers"][1]
    assert {"name": "ISTHMUS_TRUST_ANCHORS", "value": new.cert_pem} in proxy["env"]


async def answered(service: Service, root: pki.KeyPair) -> dict[str, Any]:
    """The review by a client that trusts the new root alone, as soon as there is one."""
    while True:
        try:
            return await service.review(POD, trusting=root.cert_pem)
        except aiohttp.ClientConnectorCertificateError:
            continue


async def test_the_authority_that_install_made_gets_a_new_certificate_by_itself(namespaces, tmp_path):
    clock = Clock()
    clock.ahead = -timedelta(days=25)
    authority = pki.make_root("authority", only_for=[HOST], now=clock())
    async with running(namespaces, tmp_path, clock=clock) as service:
        (tmp_path / "tls.crt").write_text(authority.cert_pem)
        (tmp_path / "tls.key").write_text(authority.key_pem)
        first = await shown(service, authority)
        assert await shown(service, authority) == first
        clock.ahead = timedelta()
        while (second := await shown(service, authority)) == first:
            pass
    assert second["notAfter"] != first["notAfter"]
    assert second["subjectAltName"] == (("DNS", HOST),)


async def shown(service: Service, authority: pki.KeyPair) -> dict[str, Any]:
    """The certificate that the API server would see."""
    while True:
        try:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", service.port, ssl=tls.client_context(authority.cert_pem), server_hostname=HOST
            )
        except ssl.SSLCertVerificationError:
            continue
        found: dict[str, Any] = writer.get_extra_info("peercert")
        writer.close()
        return found
