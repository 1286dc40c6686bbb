"""OpenAPI documents: what kubectl asks for before it applies anything, and for `kubectl explain`.

kubectl needs to find, per kind, that the server validates fields itself (`fieldValidation` on PATCH). Schemas say no
merge keys, as kubectl has its own for built-in kinds and would believe ours.
"""

import hashlib
from typing import Any

import msgspec
from lightkube import models

from isthmus.lab.api import modelschemas
from isthmus.lab.api.contracts import Object, ResourceInfo
from isthmus.lab.api.crd import Definitions
from isthmus.lab.api.registry import Registry

_QUERY = [
    {"in": "query", "name": name, "schema": {"type": "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]
_FORM = 1
"""Counts how documents are made: clients keep them for as long as this and what they are made of stays the same."""
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
            hashed = digest(registry, definitions, group, version)
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={hashed}"}
    return {"paths": paths}


def digest(registry: Registry, definitions: Definitions, group: str, version: str) -> str | None:
    """What a document is made of, in a few letters; None when there is no such version.

    Documents of built-in kinds are large: they are not made just to be told apart.
    """
    infos = registry.groups().get(group, {}).get(version)
    if infos is None:
        return None
    made_of = [(repr(info), definitions.schema(info)) for info in infos]
    return hashlib.sha256(msgspec.json.encode((_FORM, models.__version__, made_of))).hexdigest()[:32].upper()


def document(registry: Registry, definitions: Definitions, group: str, version: str) -> Object:
    """`/openapi/v3/apis/GROUP/VERSION`, of a version there is."""
    infos = registry.groups()[group][version]
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for info in infos:
        name = "" if info.custom else modelschemas.add(info, schemas)
        if not name:
            name = f"{'.'.join(reversed(info.group.split('.')))}.{info.version}.{info.kind}"
            schemas[name] = definitions.schema(info) or {"type": "object"}
        schemas[name] = schemas[name] | {"x-kubernetes-group-version-kind": [_kind(info)]}
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
