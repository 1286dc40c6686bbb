"""Whatever a client sends, it gets a Status that says what was wrong with it; never a 500, never a hang."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.lab.api.conftest import Cluster

FIELDS = st.sampled_from(
    ["metadata", "name", "labels", "spec", "template", "containers", "ports", "selector", "status", "env", "finalizers",
     "replicas", "type", "versions", "names", "managedFields", "ownerReferences", "a"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x", "NodePort", "None"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)
COLLECTIONS = [
    "/api/v1/namespaces/default/pods",
    "/api/v1/namespaces/default/services",
    "/api/v1/namespaces/default/secrets",
    "/api/v1/namespaces",
    "/apis/apps/v1/namespaces/default/deployments",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
]
PATCHES = ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"]
PATCHES += ["application/apply-patch+yaml"]


TEMPLATE = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {
        "initContainers": [{"name": "i", "image": "i", "restartPolicy": "Always"}],
        "containers": [
            {"name": "c", "image": "c:1", "ports": [{"containerPort": 1}], "env": [{"name": "E", "value": "1"}]}
        ],
        "volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string", "default": "x"}}}},
}
META: Any = {"generateName": "x", "labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["x.y/z"]}
VALID: list[tuple[str, Any]] = [
    ("/api/v1/namespaces/default/pods", {**TEMPLATE, "metadata": META}),
    (
        "/apis/apps/v1/namespaces/default/deployments",
        {"metadata": META, "spec": {"selector": {"matchLabels": {"a": "b"}}, "replicas": 1, "template": TEMPLATE}},
    ),
    (
        "/api/v1/namespaces/default/services",
        {
            "metadata": META,
            "spec": {"type": "NodePort", "ports": [{"port": 1, "targetPort": "x"}], "selector": {"a": "b"}},
        },
    ),
    (
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        {
            "metadata": {"name": "things.example.org"},
            "spec": {
                "group": "example.org",
                "scope": "Namespaced",
                "names": {"kind": "Thing", "plural": "things", "shortNames": ["t"]},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": SCHEMA},
                        "subresources": {"status": {}},
                        "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".spec.a"}],
                    }
                ],
            },
        },
    ),
    (
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        {"metadata": META, "addressType": "IPv4", "endpoints": [{"addresses": ["1.1.1.1"]}], "ports": [{"port": 1}]},
    ),
    (
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": META,
            "roleRef": {"kind": "ClusterRole", "name": "x"},
            "subjects": [{"kind": "User", "name": "x"}],
        },
    ),
    ("/api/v1/namespaces/default/secrets", {"metadata": META, "data": {"a": "Yg=="}, "stringData": {"c": "d"}}),
    (
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        {
            "metadata": META,
            "webhooks": [
                {
                    "name": "a.b.c",
                    "clientConfig": {"service": {"name": "x", "namespace": "y"}},
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "rules": [
                        {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
                    ],
                }
            ],
        },
    ),
]


def _spots(value: Any) -> list[list[Any]]:
    """The paths of everything in a value."""
    parts: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [[], *([key, *rest] for key, item in parts for rest in _spots(item))]


def _spoiled(value: Any, path: list[Any], junk: Any) -> Any:
    if not path:
        return junk
    copied = value.copy()
    copied[path[0]] = _spoiled(value[path[0]], path[1:], junk)
    return copied


@st.composite
def _almost_valid(draw: st.DrawFn) -> tuple[str, Any]:
    path, body = draw(st.sampled_from(VALID))
    return path, _spoiled(body, draw(st.sampled_from(_spots(body))), draw(JSON))


def _check(code: int, answer: Any) -> None:
    assert code < 500, answer
    if code >= 400:
        assert answer["kind"] == "Status"
        assert answer["code"] == code
        assert answer["message"]
        assert answer["reason"]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=st.sampled_from(COLLECTIONS), body=JSON, named=st.booleans())
async def test_creating_anything(cluster: Cluster, path: str, body: Any, named: bool) -> None:
    if named and isinstance(body, dict):
        body = body | {"metadata": {"generateName": "x-"}}
    _check(*await cluster.call("POST", path, body))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(almost=_almost_valid(), apply=st.booleans())
async def test_a_good_object_with_one_thing_wrong(cluster: Cluster, almost: tuple[str, Any], apply: bool) -> None:
    path, body = almost
    if apply:
        kind = "application/apply-patch+yaml"
        _check(*await cluster.call("PATCH", f"{path}/x?fieldManager=t", msgspec.json.encode(body), Content_Type=kind))
    _check(*await cluster.call("POST", path, body))
    _check(*await cluster.call("GET", path, Accept="application/json;as=Table;v=v1;g=meta.k8s.io"))
    _check(*await cluster.call("GET", "/openapi/v3"))
    _check(*await cluster.call("DELETE", path))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    kind=st.sampled_from(PATCHES),
    patch=JSON,
    what=st.sampled_from(["services/kubernetes", "services/kubernetes/status"]),
)
async def test_patching_with_anything(cluster: Cluster, kind: str, patch: Any, what: str) -> None:
    path = f"/api/v1/namespaces/default/{what}?fieldManager=test"
    _check(*await cluster.call("PATCH", path, msgspec.json.encode(patch), Content_Type=kind))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=st.binary(max_size=40), magic=st.booleans())
async def test_bodies_that_are_not_even_json(cluster: Cluster, body: bytes, magic: bool) -> None:
    body = b"k8s\x00" + body if magic else body
    _check(*await cluster.call("POST", "/api/v1/namespaces", body, Content_Type="application/json"))


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/apis/none/v1/things", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/namespaces/default/pods/none", 404),
        ("POST", "/api/v1/pods", 405),
        ("PUT", "/api/v1/namespaces", 405),
        ("DELETE", "/api/v1/pods", 405),
        ("GET", "/api/v1/pods?watch=true&resourceVersion=99999999", 410),
        ("POST", "/version", 405),
        ("GET", "/api/v1/pods?limit=x", 400),
        ("GET", "/api/v1/pods?watch=maybe", 400),
        ("GET", "/api/v1/pods?watch=true&resourceVersion=x", 400),
        ("GET", "/api/v1/pods?continue=x", 400),
        ("GET", "/api/v1/pods?labelSelector=a~~b", 400),
        ("GET", "/api/v1/pods?fieldSelector=spec.color%3Dred", 400),
        ("DELETE", "/api/v1/namespaces/default/pods/x?gracePeriodSeconds=x", 400),
        ("DELETE", "/api/v1/namespaces/default/pods/x?propagationPolicy=x", 422),
        ("POST", "/api/v1/namespaces?dryRun=x", 422),
        ("GET", "/api/v1/namespaces/default/services/kubernetes/nothing", 404),
        ("GET", "/api/v1/namespaces/none/services/kubernetes", 404),
        ("GET", "/api//v1/pods/%00", 404),
    ],
)
async def test_requests_that_make_no_sense(cluster: Cluster, method: str, path: str, code: int) -> None:
    answered, answer = await cluster.call(method, path)
    assert answered == code, answer
    _check(answered, answer)


@pytest.mark.parametrize(("path", "body"), VALID, ids=[path.rpartition("/")[2] for path, _ in VALID])
async def test_the_objects_that_are_spoiled_here_are_good(cluster: Cluster, path: str, body: Any) -> None:
    code, answer = await cluster.call("POST", path, body)
    assert code == 201, answer


@pytest.mark.parametrize("depth", [200, 900, 5000])
async def test_deep_nesting(cluster: Cluster, depth: int) -> None:
    body = b'{"metadata":{"name":"a"},"data":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    for path in ("/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods"):
        code, answer = await cluster.call("POST", path, body, Content_Type="application/json")
        assert code in (400, 422), answer
        _check(code, answer)
