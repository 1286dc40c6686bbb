"""The server as the process the lab starts: TLS, client certificates, tokens, and a client that is not ours."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import lightkube
import pytest
from lightkube.config.models import User
from lightkube.core.exceptions import ApiError
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Namespace, Service, ServiceAccount, ServiceAccountToken

from isthmus.lab import pki


@pytest.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[Path]:
    authority = pki.create(tmp_path / "pki", cluster="east", node_ip="127.0.0.1")
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    address = f"https://127.0.0.1:{listener.getsockname()[1]}"
    pki.kubeconfig(tmp_path / "kubeconfig", {"east": (authority, address)})
    arguments = ["--cluster", "east", "--data-dir", tmp_path / "data", "--pki-dir", tmp_path / "pki"]
    arguments += ["--listen-fd", listener.fileno(), "--kubelet-socket", tmp_path / "kubelet.sock"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "isthmus.lab.api", *map(str, arguments)),
        pass_fds=[listener.fileno()],
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(20):
        assert b"serving cluster east" in await process.stderr.readline()
    yield tmp_path / "kubeconfig"
    process.terminate()
    async with asyncio.timeout(10):
        assert await process.wait() == 0
    listener.close()


async def test_lightkube_as_administrator_and_as_a_service_account(kubeconfig: Path) -> None:
    config = lightkube.KubeConfig.from_file(kubeconfig)
    admin = lightkube.AsyncClient(config=config, field_manager="test")
    assert {namespace.metadata.name async for namespace in admin.list(Namespace)} >= {"default", "kube-system"}

    ports = ServiceSpec(ports=[ServicePort(port=80)], selector={"app": "web"})
    service = await admin.apply(Service(apiVersion="v1", kind="Service", metadata=ObjectMeta(name="web"), spec=ports))
    assert service.spec.clusterIP.startswith("10.96.")
    await admin.patch(Service, "web", {"metadata": {"labels": {"a": "b"}}})
    assert [found.metadata.name async for found in admin.list(Service, labels={"a": "b"})] == ["web"]

    watching = admin.watch(ConfigMap, resource_version=service.metadata.resourceVersion)
    await admin.create(ConfigMap(metadata=ObjectMeta(name="one"), data={"a": "b"}))
    async with asyncio.timeout(10):
        event, seen = await anext(watching)
    assert (event, seen.metadata.name) == ("ADDED", "one")
    await admin.delete(ConfigMap, "one")

    robot = await admin.create(ServiceAccount(metadata=ObjectMeta(name="robot")))
    request = ServiceAccountToken(metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=[]))
    token = await admin.create(request, robot.metadata.name)
    cluster = config.get().cluster
    user = User(token=token.status.token)
    as_robot = lightkube.KubeConfig.from_one(cluster=cluster, user=user)
    with pytest.raises(ApiError) as refused:
        await lightkube.AsyncClient(config=as_robot).get(Service, "web")
    assert refused.value.status.code == 403
    assert refused.value.status.message.startswith(
        'services "web" is forbidden: User "system:serviceaccount:default:robot" cannot get resource "services" '
        'in API group "" in the namespace "default"'
    )
