"""The real kubectl, through an API server with everything closed, to processes: exec, attach, logs and forwards."""

import asyncio
import base64
import fcntl
import os
import pty
import re
import shutil
import socket
import struct
import sys
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from isthmus.lab import pki
from isthmus.lab.api import streaming
from isthmus.lab.api.admission import ClusterAdmission
from isthmus.lab.api.authn import ClusterAuthenticator
from isthmus.lab.api.rbac import Rbac
from isthmus.lab.api.reviews import ClusterReviews
from isthmus.lab.api.server import ApiServer
from isthmus.lab.api.store import Store
from isthmus.lab.api.streaming import NodeStreaming
from isthmus.lab.api.tokens import Tokens
from isthmus.lab.node import channels, streams

KUBECTL = os.environ.get("KUBECTL") or shutil.which("kubectl", path=str(Path(sys.executable).parent)) or "kubectl"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "pod"},
    "spec": {"nodeName": "node", "containers": [{"name": "app", "image": "app"}]},
}
POD_PATH = "/api/v1/namespaces/default/pods/pod"


@dataclass
class Cluster:
    """An API server with everything closed, and a node behind it."""

    url: str
    pki: pki.Pki
    kubeconfig: Path
    session: aiohttp.ClientSession

    async def kubectl(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        child = await self.start(*arguments)
        async with asyncio.timeout(20):
            out, err = await child.communicate(stdin)
        assert child.returncode is not None
        return child.returncode, out.decode(), err.decode()

    async def start(self, *arguments: str, terminal: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.kubeconfig.parent)}
        return await asyncio.create_subprocess_exec(
            KUBECTL, *arguments, stdin=terminal, stdout=terminal, stderr=terminal, env=environment
        )

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self.session.post(self.url + path, json=body, ssl=self.pki.client_context()) as answer:
            found: dict[str, Any] = await answer.json()
        assert answer.status < 300, found
        return found


@pytest.fixture
async def node(containers: Any, tmp_path: Path) -> AsyncIterator[Path]:
    """The socket of a node that serves the pod."""
    path = tmp_path / "kubelet.sock"
    runner = web.AppRunner(streams.app(containers), shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    yield path
    await runner.cleanup()


@pytest.fixture
async def cluster(tmp_path: Path, node: Path) -> AsyncIterator[Cluster]:
    keys = pki.create(tmp_path / "pki", cluster="west", node_ip="172.30.0.11")
    store = Store()
    tokens, rbac, admission = Tokens.load(keys.account_key.read_bytes()), Rbac(store), ClusterAdmission(store)
    server = ApiServer(
        store=store,
        authenticator=ClusterAuthenticator(tokens, store),
        authorizer=rbac,
        admission=admission,
        reviews=ClusterReviews(tokens, rbac, store),
        streaming=NodeStreaming(node),
    )
    listener = socket.create_server(("127.0.0.1", 0))
    async with server, aiohttp.ClientSession() as session:
        url = f"https://127.0.0.1:{await server.listen(listener, keys.server_context())}"
        kubeconfig = tmp_path / "kubeconfig"
        pki.kubeconfig(kubeconfig, {"west": (keys, url)})
        cluster = Cluster(url, keys, kubeconfig, session)
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await cluster.post("/api/v1/namespaces/default/serviceaccounts", account)
        await cluster.post("/api/v1/namespaces/default/pods", POD)
        running = {"status": {"phase": "Running"}}
        merge = {"Content-Type": "application/merge-patch+json"}
        status = url + POD_PATH + "/status"
        async with session.patch(status, json=running, headers=merge, ssl=keys.client_context()) as answer:
            assert answer.status == 200, await answer.text()
        yield cluster
    await admission.close()


async def test_exec(cluster: Cluster) -> None:
    assert await cluster.kubectl("exec", "pod", "--", "echo", "a b") == (0, "a b\n", "")
    code, _, err = await cluster.kubectl("exec", "pod", "--", "sh", "-c", "exit 3")
    assert (code, err) == (3, "command terminated with exit code 3\n")
    assert (await cluster.kubectl("exec", "-i", "pod", "--", "cat", stdin=b"in\n"))[:2] == (0, "in\n")
    assert (await cluster.kubectl("exec", "pod", "--", "no-such-program"))[0] == 1


async def test_exec_into_a_container_that_is_not_there(cluster: Cluster) -> None:
    code, _, err = await cluster.kubectl("exec", "pod", "-c", "x", "--", "true")
    assert code == 1
    assert "container x is not valid for pod pod" in err


async def test_attach(cluster: Cluster) -> None:
    code, out, _ = await cluster.kubectl("attach", "-i", "pod", stdin=b"hello\n")
    assert (code, out) == (0, "hello\n")


async def test_exec_on_a_terminal_of_the_users_size(cluster: Cluster) -> None:
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 123, 0, 0))
    # The size follows the start of the program, which therefore waits until it has one.
    script = "until [ \"$(stty size)\" = '45 123' ]; do :; done; tty -s && stty size"
    child = await cluster.start("exec", "-it", "pod", "--", "sh", "-c", script, terminal=far)
    try:
        assert await asyncio.wait_for(child.wait(), 20) == 0
        assert os.read(near, 1000) == b"45 123\r\n"
    finally:
        os.close(near)
        os.close(far)


async def test_logs(cluster: Cluster, containers: Any) -> None:
    containers.log.write_bytes(b"one\ntwo\nthree\n")
    assert await cluster.kubectl("logs", "pod") == (0, "one\ntwo\nthree\n", "")
    assert await cluster.kubectl("logs", "--tail=1", "pod") == (0, "three\n", "")


async def test_logs_are_followed_to_the_end(cluster: Cluster, containers: Any) -> None:
    containers.log.write_bytes(b"one\n")
    child = await cluster.start("logs", "-f", "pod")
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), 10) == b"one\n"
    with containers.log.open("ab") as file:
        file.write(b"two\n")
    assert await asyncio.wait_for(child.stdout.readline(), 10) == b"two\n"
    containers.alive = False
    assert await asyncio.wait_for(child.wait(), 10) == 0


async def test_port_forward(cluster: Cluster) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper() * 100_000)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as backend:
        port = backend.sockets[0].getsockname()[1]
        child = await cluster.start("port-forward", "pod", f":{port}")
        try:
            assert child.stdout is not None
            line = (await asyncio.wait_for(child.stdout.readline(), 10)).decode()
            local = re.search(r"127.0.0.1:(\d+) ->", line)
            assert local is not None, line
            for text in (b"one\n", b"two\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", int(local[1]))
                writer.write(text)
                assert await asyncio.wait_for(reader.read(), 10) == text.upper() * 100_000
                writer.close()
        finally:
            child.kill()
            await child.communicate()


async def test_a_node_that_is_not_there_is_said_to_be(cluster: Cluster, node: Path) -> None:
    await asyncio.to_thread(node.unlink)
    code, _, err = await cluster.kubectl("logs", "pod")
    assert code == 1
    assert "error dialing backend" in err
    assert "is the node running?" in err


async def test_a_node_that_hangs_is_said_to(cluster: Cluster, node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "ANSWER_TIMEOUT", 0.1)
    await asyncio.to_thread(node.unlink)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(node))
        silent.listen()
        for words in (("logs", "pod"), ("exec", "pod", "--", "true")):
            code, _, err = await cluster.kubectl(*words)
            assert code == 1
            assert "did not answer within 0.1 s: does it hang?" in err


async def test_subprotocols_and_refusals_are_the_nodes(cluster: Cluster) -> None:
    context = cluster.pki.client_context()
    target = f"{cluster.url}{POD_PATH}/exec?command=true"
    async with cluster.session.ws_connect(target, ssl=context, protocols=[channels.V4]) as client:
        assert client.protocol == channels.V4
    async with cluster.session.get(f"{cluster.url}{POD_PATH}/log?container=x", ssl=context) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (400, "BadRequest")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await cluster.session.ws_connect(target + "&container=x", ssl=context, protocols=[channels.V5])
    assert refused.value.status == 400


async def test_a_service_account_may_do_what_its_role_says(cluster: Cluster) -> None:
    await cluster.kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,pods/log")
    await cluster.kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:default")
    code, token, err = await cluster.kubectl("create", "token", "default")
    assert code == 0, err
    as_account = ("--kubeconfig=/dev/null", f"--server={cluster.url}", f"--certificate-authority={cluster.pki.ca}")
    as_account = (*as_account, f"--token={token.strip()}")
    assert (await cluster.kubectl(*as_account, "get", "pods", "-o", "name"))[:2] == (0, "pod/pod\n")
    assert (await cluster.kubectl(*as_account, "auth", "can-i", "get", "pods/log"))[:2] == (0, "yes\n")
    assert (await cluster.kubectl(*as_account, "auth", "can-i", "create", "pods"))[1] == "no\n"
    code, _, err = await cluster.kubectl(*as_account, "exec", "pod", "--", "true")
    assert code == 1
    assert (
        'User "system:serviceaccount:default:default" cannot create resource "pods/exec" in API group "" '
        'in the namespace "default"'
    ) in err
    _, whoami, _ = await cluster.kubectl(*as_account, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert whoami == "system:serviceaccount:default:default"


async def test_a_webhook_warns_and_refuses_as_kubectl_users_know_it(cluster: Cluster) -> None:
    async def judge(request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        response = {"uid": asked["uid"], "allowed": asked["name"] != "bad", "warnings": ['the "old"\nway']}
        return web.json_response({"response": response | {"status": {"message": "bad name"}}})

    app = web.Application()
    app.router.add_post("/", judge)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=cluster.pki.server_context()).start()
    bundle = base64.b64encode(cluster.pki.ca_pem.encode()).decode()
    hook = {
        "name": "names.test.io",
        "clientConfig": {"url": f"https://127.0.0.1:{runner.addresses[0][1]}/", "caBundle": bundle},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }
    version = "admissionregistration.k8s.io/v1"
    configuration = {"apiVersion": version, "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "names"}}
    await cluster.post(f"/apis/{version}/validatingwebhookconfigurations", configuration | {"webhooks": [hook]})
    assert await cluster.kubectl("create", "configmap", "good") == (
        0,
        "configmap/good created\n",
        'Warning: the "old" way\n',
    )
    code, _, err = await cluster.kubectl("create", "configmap", "bad")
    assert code == 1
    assert 'admission webhook "names.test.io" denied the request: bad name' in err
    await runner.cleanup()
