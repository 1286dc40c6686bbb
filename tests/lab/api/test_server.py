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


def _pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "app", "image": "app"}], **spec}}


def _config(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "data": {"a": "1"}}


def _deployment(name: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": "app"}]}}
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


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


async def test_a_stale_update_conflicts_and_an_equal_one_changes_nothing(cluster: Cluster) -> None:
    first = await _create(cluster, CONFIG_MAPS, _config("a"))
    _, second = await cluster.call("PUT", f"{CONFIG_MAPS}/a", first | {"data": {"a": "2"}})
    code, answer = await cluster.call("PUT", f"{CONFIG_MAPS}/a", first | {"data": {"a": "3"}})
    assert (code, answer["reason"]) == (409, "Conflict")
    _, same = await cluster.call("PUT", f"{CONFIG_MAPS}/a", second)
    assert same == second


async def test_the_generation_counts_changes_of_the_spec_only(cluster: Cluster) -> None:
    await _create(cluster, DEPLOYMENTS, _deployment("web"))
    body = {"status": {"replicas": 1}, "spec": {"replicas": 7}}
    _, updated = await cluster.call("PATCH", f"{DEPLOYMENTS}/web/status", body, Content_Type=MERGE)
    assert (updated["metadata"]["generation"], updated["spec"]["replicas"]) == (1, 1)
    assert updated["status"] == {"replicas": 1}
    body = {"status": {"replicas": 9}, "spec": {"replicas": 2}}
    _, updated = await cluster.call("PATCH", f"{DEPLOYMENTS}/web", body, Content_Type=MERGE)
    assert (updated["metadata"]["generation"], updated["status"]) == (2, {"replicas": 1})


async def test_scaling_goes_through_the_scale_subresource(cluster: Cluster) -> None:
    await _create(cluster, DEPLOYMENTS, _deployment("web"))
    _, scale = await cluster.call("GET", f"{DEPLOYMENTS}/web/scale")
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "app=web")
    _, scale = await cluster.call("PUT", f"{DEPLOYMENTS}/web/scale", scale | {"spec": {"replicas": 3}})
    assert scale["spec"] == {"replicas": 3}
    body = {"spec": {"replicas": 0}}
    _, scale = await cluster.call("PATCH", f"{DEPLOYMENTS}/web/scale", body, Content_Type=MERGE)
    assert (await cluster.call("GET", f"{DEPLOYMENTS}/web"))[1]["spec"]["replicas"] == 0


async def test_a_dry_run_answers_and_stores_nothing(cluster: Cluster) -> None:
    await _create(cluster, f"{CONFIG_MAPS}?dryRun=All", _config("a"))
    assert (await cluster.call("GET", f"{CONFIG_MAPS}/a"))[0] == 404


async def test_generated_names_differ(cluster: Cluster) -> None:
    body = {"metadata": {"generateName": "a-"}}
    names = {(await _create(cluster, CONFIG_MAPS, body))["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("a-") for name in names)


async def test_long_lists_come_in_chunks(cluster: Cluster) -> None:
    for index in range(5):
        await _create(cluster, CONFIG_MAPS, _config(f"c{index}"))
    found, token = [], ""
    while True:
        _, page = await cluster.call("GET", f"{CONFIG_MAPS}?limit=2&continue={token}")
        found += [item["metadata"]["name"] for item in page["items"]]
        if not (token := page["metadata"].get("continue", "")):
            break
    assert found == [f"c{index}" for index in range(5)]


# --- deletion -----------------------------------------------------------------------------------------------------
async def test_an_object_with_finalizers_goes_when_the_last_one_is_removed(cluster: Cluster) -> None:
    await _create(cluster, CONFIG_MAPS, _config("a", finalizers=["x.y/z"]))
    code, answer = await cluster.call("DELETE", f"{CONFIG_MAPS}/a")
    assert code == 200
    assert answer["metadata"]["deletionTimestamp"]
    body = {"metadata": {"finalizers": None}}
    await cluster.call("PATCH", f"{CONFIG_MAPS}/a", body, Content_Type=MERGE)
    assert (await cluster.call("GET", f"{CONFIG_MAPS}/a"))[0] == 404


async def test_a_running_pod_waits_for_its_kubelet(cluster: Cluster) -> None:
    await _create(cluster, PODS, _pod("placed", nodeName="node"))
    await _create(cluster, PODS, _pod("unplaced"))
    _, answer = await cluster.call("DELETE", f"{PODS}/placed", {"gracePeriodSeconds": 5})
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 5
    assert (await cluster.call("GET", f"{PODS}/placed"))[0] == 200
    await cluster.call("DELETE", f"{PODS}/placed", {"gracePeriodSeconds": 0})
    assert (await cluster.call("GET", f"{PODS}/placed"))[0] == 404
    await cluster.call("DELETE", f"{PODS}/unplaced")
    assert (await cluster.call("GET", f"{PODS}/unplaced"))[0] == 404


async def test_a_namespace_ends_when_its_finalizer_is_taken_off(cluster: Cluster) -> None:
    await _create(cluster, "/api/v1/namespaces", {"metadata": {"name": "team"}})
    _, namespace = await cluster.call("DELETE", "/api/v1/namespaces/team")
    assert namespace["status"]["phase"] == "Terminating"
    code, answer = await cluster.call("POST", "/api/v1/namespaces/team/configmaps", _config("late"))
    assert code == 403
    assert "because it is being terminated" in answer["message"]
    namespace["spec"]["finalizers"] = []
    await cluster.call("PUT", "/api/v1/namespaces/team/finalize", namespace)
    assert (await cluster.call("GET", "/api/v1/namespaces/team"))[0] == 404


async def test_foreground_deletion_leaves_the_end_to_the_garbage_collector(cluster: Cluster) -> None:
    await _create(cluster, DEPLOYMENTS, _deployment("web"))
    _, answer = await cluster.call("DELETE", f"{DEPLOYMENTS}/web", {"propagationPolicy": "Foreground"})
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]


async def test_a_precondition_protects_the_successor_of_an_object(cluster: Cluster) -> None:
    await _create(cluster, CONFIG_MAPS, _config("a"))
    code, _ = await cluster.call("DELETE", f"{CONFIG_MAPS}/a", {"preconditions": {"uid": "another"}})
    assert code == 409
    assert (await cluster.call("GET", f"{CONFIG_MAPS}/a"))[0] == 200


# --- services -----------------------------------------------------------------------------------------------------
async def test_services_get_addresses_and_node_ports_that_nobody_else_has(cluster: Cluster) -> None:
    spec = {"type": "NodePort", "ports": [{"port": 80}, {"port": 443, "name": "b"}]}
    made = [await _create(cluster, SERVICES, {"metadata": {"generateName": "s"}, "spec": spec}) for _ in range(3)]
    assert len({service["spec"]["clusterIP"] for service in made}) == 3
    ports = [port["nodePort"] for service in made for port in service["spec"]["ports"]]
    assert len(set(ports)) == 6
    assert all(30000 <= port <= 32767 for port in ports)
    assert made[0]["spec"]["ports"][0] | {"nodePort": 0} == {
        "port": 80,
        "protocol": "TCP",
        "targetPort": 80,
        "nodePort": 0,
    }


async def test_a_service_keeps_what_it_was_given_and_may_ask_for_a_free_port(cluster: Cluster) -> None:
    first = await _create(cluster, SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    body = {"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30443}]}}
    _, changed = await cluster.call("PATCH", f"{SERVICES}/s", body, Content_Type=MERGE)
    assert changed["spec"]["clusterIP"] == first["spec"]["clusterIP"]
    assert changed["spec"]["ports"][0]["nodePort"] == 30443
    code, answer = await cluster.call("POST", SERVICES, {"metadata": {"name": "t"}} | body)
    assert code == 422
    assert "provided port is already allocated" in answer["message"]


async def test_a_headless_service_has_no_address(cluster: Cluster) -> None:
    spec = {"clusterIP": "None", "ports": [{"port": 80}]}
    service = await _create(cluster, SERVICES, {"metadata": {"name": "s"}, "spec": spec})
    assert service["spec"]["clusterIP"] == "None"


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


# --- watches ------------------------------------------------------------------------------------------------------
async def test_a_watch_goes_on_where_a_list_ended(cluster: Cluster) -> None:
    await _create(cluster, CONFIG_MAPS, _config("a"))
    _, listed = await cluster.call("GET", CONFIG_MAPS)
    await _create(cluster, CONFIG_MAPS, _config("b"))
    revision = listed["metadata"]["resourceVersion"]
    async with cluster.session.get(f"{cluster.url}{CONFIG_MAPS}?watch=true&resourceVersion={revision}") as response:
        events = _events(response)
        event = await anext(events)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "b")
        await cluster.call("DELETE", f"{CONFIG_MAPS}/a")
        event = await anext(events)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", "a")
        assert int(event["object"]["metadata"]["resourceVersion"]) > int(revision)


async def test_a_streaming_list_says_when_it_is_complete(cluster: Cluster) -> None:
    await _create(cluster, CONFIG_MAPS, _config("a"))
    query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with cluster.session.get(f"{cluster.url}{CONFIG_MAPS}?{query}") as response:
        events = _events(response)
        assert (await anext(events))["type"] == "ADDED"
        bookmark = await anext(events)
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert bookmark["object"]["metadata"]["resourceVersion"] == str(cluster.server.store.revision)


async def test_leaving_the_selection_is_a_deletion_and_entering_it_an_addition(cluster: Cluster) -> None:
    await _create(cluster, CONFIG_MAPS, _config("a", labels={"x": "1"}))
    async with cluster.session.get(f"{cluster.url}{CONFIG_MAPS}?watch=true&labelSelector=x%3D1") as response:
        events = _events(response)
        assert (await anext(events))["type"] == "ADDED"
        for value, expected in (("2", "DELETED"), ("1", "ADDED")):
            body = {"metadata": {"labels": {"x": value}}}
            await cluster.call("PATCH", f"{CONFIG_MAPS}/a", body, Content_Type=MERGE)
            assert (await anext(events))["type"] == expected


async def test_a_watch_ends_when_its_time_is_up_with_a_bookmark(cluster: Cluster) -> None:
    query = f"watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion={cluster.server.store.revision}"
    async with cluster.session.get(f"{cluster.url}{CONFIG_MAPS}?{query}") as response:
        assert [event["type"] async for event in _events(response)] == ["BOOKMARK"]


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


# --- server-side apply --------------------------------------------------------------------------------------------
async def test_apply_creates_changes_and_removes(cluster: Cluster) -> None:
    path = f"{CONFIG_MAPS}/a?fieldManager=me"
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "1", "b": "2"}}
    code, _ = await cluster.call("PATCH", path, config, Content_Type=APPLY)
    assert code == 201
    code, applied = await cluster.call("PATCH", path, config | {"data": {"a": "3"}}, Content_Type=APPLY)
    assert (code, applied["data"]) == (200, {"a": "3"})
    other = f"{CONFIG_MAPS}/a?fieldManager=other"
    code, answer = await cluster.call("PATCH", other, config, Content_Type=APPLY)
    assert code == 409
    assert answer["details"]["causes"][0]["field"] == ".data.a"
    code, _ = await cluster.call("PATCH", other + "&force=true", config, Content_Type=APPLY)
    assert code == 200


async def test_apply_keeps_defaults_and_what_controllers_write(cluster: Cluster) -> None:
    body = {"apiVersion": "apps/v1", "kind": "Deployment"} | _deployment("web")
    path = f"{DEPLOYMENTS}/web?fieldManager=me"
    await cluster.call("PATCH", path, body, Content_Type=APPLY)
    await cluster.call("PATCH", f"{DEPLOYMENTS}/web/status", {"status": {"replicas": 1}}, Content_Type=MERGE)
    code, again = await cluster.call("PATCH", path, body, Content_Type=APPLY)
    assert (code, again["spec"]["replicas"], again["status"]) == (200, 1, {"replicas": 1})
    assert again["spec"]["template"]["spec"]["restartPolicy"] == "Always"
    assert again["metadata"]["generation"] == 1


# --- custom resources ---------------------------------------------------------------------------------------------
CRD = {
    "metadata": {"name": "things.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"kind": "Thing", "plural": "things"},
        "versions": [
            {
                "name": name,
                "served": True,
                "storage": name == "v2",
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "size": {"type": "integer", "default": 3, "maximum": 9},
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
            for name in ("v1", "v2")
        ],
    },
}
THINGS = "/apis/example.org/{}/namespaces/default/things"


async def test_a_definition_serves_its_versions_with_defaults_pruning_and_validation(cluster: Cluster) -> None:
    crd = await _create(cluster, CRDS, CRD)
    assert {"type": "Established", "status": "True"}.items() <= crd["status"]["conditions"][1].items()
    thing = {"metadata": {"name": "a"}, "spec": {"name": "x", "color": "red"}}
    created = await _create(cluster, THINGS.format("v1"), thing)
    assert created["spec"] == {"name": "x", "size": 3}
    _, found = await cluster.call("GET", THINGS.format("v2") + "/a")
    assert found["apiVersion"] == "example.org/v2"
    code, answer = await cluster.call("POST", THINGS.format("v1"), {"metadata": {"name": "b"}, "spec": {"size": 10}})
    assert code == 422
    assert "spec.name: Required value" in answer["message"]
    assert "spec.size" in answer["message"]
    thing["metadata"] = {"name": "c"}
    code, answer = await cluster.call("POST", THINGS.format("v1") + "?fieldValidation=Strict", thing)
    assert (code, answer["message"]) == (400, 'strict decoding error: unknown field "spec.color"')


async def test_custom_resources_have_the_columns_of_their_definition(cluster: Cluster) -> None:
    await _create(cluster, CRDS, CRD)
    await _create(cluster, THINGS.format("v1"), {"metadata": {"name": "a"}, "spec": {"name": "x"}})
    body = {"status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]}}
    await cluster.call("PATCH", THINGS.format("v1") + "/a/status", body, Content_Type=MERGE)
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    _, table = await cluster.call("GET", THINGS.format("v1"), Accept=accept)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size", "Ready"]
    assert table["rows"][0]["cells"] == ["a", 3, "True"]


async def test_a_definition_takes_its_objects_along_and_waits_for_their_finalizers(cluster: Cluster) -> None:
    await _create(cluster, CRDS, CRD)
    thing = {"metadata": {"name": "a", "finalizers": ["x.y/z"]}, "spec": {"name": "x"}}
    await _create(cluster, THINGS.format("v2"), thing)
    await cluster.call("DELETE", f"{CRDS}/things.example.org")
    assert (await cluster.call("GET", f"{CRDS}/things.example.org"))[0] == 200
    body = {"metadata": {"finalizers": []}}
    await cluster.call("PATCH", THINGS.format("v2") + "/a", body, Content_Type=MERGE)
    assert (await cluster.call("GET", f"{CRDS}/things.example.org"))[0] == 404
    assert (await cluster.call("GET", THINGS.format("v2")))[0] == 404
