"""Credentials of a kubeconfig work where there is no disk to write them to."""

import base64
import tempfile

import pytest
from aiohttp import web
from tests.kube import api as fake

from isthmus.kube import errors, pki, tls
from isthmus.kube.client import connect

ROOT, STRANGER = pki.make_root("root"), pki.make_root("stranger")
SERVER = pki.make_server_certificate(ROOT, dns_names=["localhost"])


def kubeconfig(url: str, root: pki.KeyPair) -> dict[str, object]:
    made = fake.kubeconfig(url)
    made["clusters"][0]["cluster"]["certificate-authority-data"] = encoded(root.cert_pem)
    made["users"][0]["user"] = {
        "client-certificate-data": encoded(SERVER.cert_pem),
        "client-key-data": encoded(SERVER.key_pem),
    }
    return made


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_a_pod_without_a_writable_folder_can_use_a_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/a/read/only/root")
    application = web.Application()
    application.router.add_get("/version", version)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "localhost", 0, ssl_context=tls.server_context(SERVER)).start()
        url = f"https://localhost:{runner.addresses[0][1]}"
        async with connect(kubeconfig(url, ROOT)) as client:
            assert await client.raw("GET", "/version") == b"v1"
        async with connect(kubeconfig(url, STRANGER)) as client:
            with pytest.raises(errors.Unreachable, match="its certificate is not trusted"):
                await client.raw("GET", "/version")
    finally:
        await runner.cleanup()


async def version(_: web.Request) -> web.Response:
    return web.Response(text="v1")
