"""OpenAPI documents: what kubectl asks for before it applies anything.

kubectl needs to find, per kind, that the server validates fields itself (`fieldValidation` on PATCH); schemas are
served only where they are known, for custom resources, and make `kubectl explain` work there.
"""

import hashlib
from typing import Any

import msgspec

from isthmus.lab.api.contracts import Object, ResourceInfo
from isthmus.lab.api.crd import Definitions
from isthmus.lab.api.registry import Registry

_QUERY = [
    {"in": "query", "name": name, "schema": {"type": "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]
EMPTY_V2 = b"\n\x032.0"
"""`/openapi/v2` as protobuf, the way kubectl asks before it applies a List: a document of version 2.0 without kinds.

kubectl then leaves validation to the server; without an answer it refuses to apply anything.
"""


def index(registry: Registry, definitions: Definitions) -> Object:
    """`/openapi/v3`: a document per group and version, with a hash that changes when the document does."""
    paths = {}
    for group, versions in registry.groups().items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            digest = hashlib.sha256(msgspec.json.encode(document(registry, definitions, group, version))).hexdigest()
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest[:32].upper()}"}
    return {"paths": paths}


def document(registry: Registry, definitions: Definitions, group: str, version: str) -> Object | None:
    """`/openapi/v3/apis/GROUP/VERSION`; None when there is no such version."""
    infos = registry.groups().get(group, {}).get(version)
    if infos is None:
        return None
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for info in infos:
        name = _schema_name(info)
        schema = definitions.schema(info) or {"type": "object"}
        schemas[name] = schema | {"x-kubernetes-group-version-kind": [_kind(info)]}
        paths |= _operations(info, name)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operations(info: ResourceInfo, schema: str) -> dict[str, Any]:
    root = f"/apis/{info.group}/{info.version}" if info.group else f"/api/{info.version}"
    collection = f"{root}/namespaces/{{namespace}}/{info.resource}" if info.namespaced else f"{root}/{info.resource}"
    body = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}

    def operation(action: str) -> Object:
        return {
            "operationId": f"{action}{info.kind}",
            "parameters": _QUERY,
            "requestBody": body,
            "responses": {"200": {"description": "OK", **body}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": _kind(info),
        }

    paths: dict[str, Any] = {collection: {"post": operation("post")}}
    if "patch" in info.verbs:
        paths[f"{collection}/{{name}}"] = {"put": operation("put"), "patch": operation("patch")}
    return paths


def _kind(info: ResourceInfo) -> Object:
    return {"group": info.group, "version": info.version, "kind": info.kind}


def _schema_name(info: ResourceInfo) -> str:
    group = ".".join(reversed(info.group.split("."))) if info.group else "io.k8s.api.core"
    return f"{group}.{info.version}.{info.kind}"
