"""OpenAPI and discovery. From "The Kubernetes API": "Discovery API" and "OpenAPI interface definition"."""

from typing import Any

import pytest
from tests.conformance.api import Api

AGGREGATED = "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList,application/json"


async def test_every_group_and_version_has_a_document_that_can_be_kept(api: Api) -> None:
    """ "OpenAPI V3": a relative URL with a hash, immutable and for a year; an obsolete one leads to the newest."""
    index = await api.get("/openapi/v3")
    for path in ("api/v1", "apis/apps/v1"):
        url = index["paths"][path]["serverRelativeURL"]
        root, _, digest = url.partition("?hash=")
        assert root == f"/openapi/v3/{path}"
        assert digest
        answer = await api.call("GET", url)
        assert answer.code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Expires"]
        assert answer.body["openapi"].startswith("3.0")
    old = await api.call("GET", f"/openapi/v3/api/v1?hash={'0' * len(digest)}")
    assert old.body == (await api.get("/openapi/v3/api/v1"))


@pytest.mark.parametrize(
    ("path", "kind", "field", "type_"),
    [
        ("api/v1", "io.k8s.api.core.v1.PodSpec", "containers", "array"),
        ("api/v1", "io.k8s.api.core.v1.Container", "image", "string"),
        ("apis/apps/v1", "io.k8s.api.apps.v1.DeploymentSpec", "replicas", "integer"),
        ("apis/networking.k8s.io/v1", "io.k8s.api.networking.v1.IngressSpec", "rules", "array"),
    ],
)
async def test_the_document_says_what_a_kind_is_made_of(api: Api, path: str, kind: str, field: str, type_: str) -> None:
    """ "OpenAPI V3"; the Kubernetes API reference for the kinds."""
    schemas = (await api.get(f"/openapi/v3/{path}"))["components"]["schemas"]
    assert schemas[kind]["properties"][field]["type"] == type_
    assert schemas[kind]["properties"][field]["description"]


async def test_the_root_of_a_kind_says_which_kind_it_is(api: Api) -> None:
    """ "OpenAPI V3": kubectl finds a schema by `x-kubernetes-group-version-kind`."""
    schemas = (await api.get("/openapi/v3/apis/apps/v1"))["components"]["schemas"]
    wanted = {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert wanted in schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"]


async def test_aggregated_discovery_names_every_resource_in_two_requests(api: Api) -> None:
    """ "Aggregated discovery": /api and /apis as APIGroupDiscoveryList."""
    found: dict[tuple[str, str, str], Any] = {}
    for path in ("/api", "/apis"):
        answer = await api.call("GET", path, accept=AGGREGATED)
        assert answer.body["kind"] == "APIGroupDiscoveryList"
        for group in answer.body["items"]:
            for version in group["versions"]:
                for resource in version["resources"]:
                    found[group["metadata"].get("name", ""), version["version"], resource["resource"]] = resource
    pods = found["", "v1", "pods"]
    assert (pods["scope"], pods["singularResource"], pods["shortNames"]) == ("Namespaced", "pod", ["po"])
    assert {"create", "delete", "get", "list", "patch", "update", "watch"} <= set(pods["verbs"])
    assert {"log", "exec", "status"} <= {sub["subresource"] for sub in pods["subresources"]}
    assert found["apps", "v1", "deployments"]["responseKind"]["kind"] == "Deployment"


async def test_plain_discovery_says_the_same(api: Api) -> None:
    """ "Unaggregated discovery"."""
    groups = {group["name"]: group for group in (await api.get("/apis"))["groups"]}
    assert groups["apps"]["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    resources = {entry["name"]: entry for entry in (await api.get("/apis/apps/v1"))["resources"]}
    assert resources["deployments"]["kind"] == "Deployment"
    assert resources["deployments"]["namespaced"] is True
    assert resources["deployments/scale"]["kind"] == "Scale"
