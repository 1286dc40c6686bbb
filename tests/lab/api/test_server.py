"""The API over HTTP: what clients, controllers and kubelets rely on."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.lab.api.conftest import Cluster

PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


def _config(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "data": {"a": "1"}}


async def _create(cluster: Cluster, path: str, body: Any) -> Any:
    code, answer = await cluster.call("POST", path, body)
    assert code == 201, answer
    return answer


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
    rest = b""
    async for data in response.content.iter_any():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield json.loads(line)


async def test_a_new_cluster_has_its_namespaces_its_own_service_and_its_roles(cluster: Cluster) -> None:
    _, namespaces = await cluster.call("GET", "/api/v1/namespaces")
    names = {item["metadata"]["name"] for item in namespaces["items"]}
    assert names == {"default", "kube-system", "kube-public", "kube-node-lease"}
    _, service = await cluster.call("GET", f"{SERVICES}/kubernetes")
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    _, slices = await cluster.call("GET", f"{path}?labelSelector=kubernetes.io/service-name=kubernetes")
    assert slices["items"][0]["endpoints"][0]["addresses"] == ["127.0.0.1"]
    code, _ = await cluster.call("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:auth-delegator")
    assert code == 200


async def test_a_workload_is_reached_through_the_server_without_the_clients_credentials(cluster: Cluster) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"path": request.path_qs, "credentials": "Authorization" in request.headers})

    async with TestServer(_application(echo)) as workload:
        spec = {"ports": [{"port": 80, "name": "http"}]}
        await _create(cluster, SERVICES, {"metadata": {"name": "web"}, "spec": spec})
        path = f"{SERVICES}/web:http/proxy/metrics?a=1"
        assert (await cluster.call("GET", path))[0] == 503
        piece = {
            "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["127.0.0.1"]}],
            "ports": [{"name": "http", "port": workload.port}],
        }
        await _create(cluster, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", piece)
        answer = await cluster.call("GET", path, Authorization="Bearer secret")
        assert answer == (200, {"path": "/metrics?a=1", "credentials": False})


def _application(handler: Callable[[web.Request], Awaitable[web.Response]]) -> web.Application:
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    return app


async def test_nothing_is_left_of_a_watch_whose_client_went_away(cluster: Cluster) -> None:
    store = cluster.server.store
    async with cluster.session.get(f"{cluster.url}{CONFIG_MAPS}?watch=true"):
        assert store.watchers("", "configmaps") == 1
    async with asyncio.timeout(5):
        while store.watchers("", "configmaps"):
            await cluster.call("GET", "/healthz/none")


async def test_a_revision_that_was_forgotten_is_gone(cluster: Cluster) -> None:
    await _create(cluster, CONFIG_MAPS, _config("a"))
    store = cluster.server.store
    first = store.revision
    store.forget_before("", "configmaps", first + 1)
    code, answer = await cluster.call("GET", f"{CONFIG_MAPS}?watch=true&resourceVersion={first - 1}")
    assert (code, answer["reason"]) == (410, "Expired")
