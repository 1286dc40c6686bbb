"""A CustomResourceDefinition of the test's own, with two versions, defaults, and fields of every kind."""

from typing import Any

from tests.conformance.api import Answer, Api, unique

Object = dict[str, Any]
SPEC: Object = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "maxLength": 10, "pattern": "^[a-z]+$"},
        "size": {"type": "integer", "default": 3, "minimum": 1, "maximum": 9},
        "mode": {"type": "string", "enum": ["fast", "slow"]},
        "port": {"x-kubernetes-int-or-string": True},
        "selector": {"type": "object", "additionalProperties": {"type": "string"}},
        "limit": {"type": "integer", "nullable": True},
        "level": {"type": "integer", "default": 1},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        "nested": {"type": "object", "properties": {"depth": {"type": "integer", "default": 5}}},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
STATUS: Object = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer"},
        "conditions": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    },
}


def definition(group: str) -> Object:
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}}
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Tags", "type": "string", "jsonPath": ".spec.tags"},
        {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
    ]
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.replicas"}
    versions = [
        {
            "name": name,
            "served": True,
            "storage": name == "v2",
            "subresources": {"status": {}, "scale": scale},
            "additionalPrinterColumns": columns,
            "schema": schema,
        }
        for name in ("v1", "v2")
    ]
    names = {"kind": "Thing", "plural": "things", "shortNames": ["th"]}
    return {
        "metadata": {"name": f"things.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": versions},
    }


async def define(api: Api) -> Object:
    """A definition that is served; it goes with the test."""
    made = await api.create(api.path("customresourcedefinitions"), definition(f"{unique('g')}.example.org"))
    path = api.path("customresourcedefinitions", made["metadata"]["name"])
    api.ending.push_async_callback(api.call, "DELETE", path)

    async def established() -> bool:
        conditions = (await api.get(path)).get("status", {}).get("conditions") or []
        return any((found["type"], found["status"]) == ("Established", "True") for found in conditions)

    async def served() -> bool:
        answers = [await api.call("GET", things(api, made, version)) for version in ("v1", "v2")]
        return all(answer.code == 200 for answer in answers)

    await api.until(established, "the definition is established")
    await api.until(served, "the definition is served")
    return await api.get(path)


def things(api: Api, made: Object, version: str = "v1") -> str:
    return api.path("things", group=f"{made['spec']['group']}/{version}")


def thing(called: str, *, group: str, **spec: Any) -> Object:
    return {
        "apiVersion": f"{group}/v1",
        "kind": "Thing",
        "metadata": {"name": called},
        "spec": {"name": "x", **spec},
    }


async def define_with(api: Api, spec: Object, *, wanted: int = 201, **version: Any) -> Answer:
    """The answer to a definition with one version, whose objects' spec has this schema. It goes with the test."""
    body = definition(f"{unique('g')}.example.org")
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    body["spec"]["versions"] = [{"name": "v1", "served": True, "storage": True, "schema": schema, **version}]
    answer = await api.call("POST", api.path("customresourcedefinitions"), body)
    assert answer.code == wanted, answer.body
    if answer.code != 201:
        return answer
    name = answer.body["metadata"]["name"]
    path = api.path("customresourcedefinitions", name)
    api.ending.push_async_callback(api.call, "DELETE", path)

    async def served() -> bool:
        return (await api.call("GET", collection(api, answer.body))).code == 200

    await api.until(served, f"{name} is served")
    return answer


def collection(api: Api, made: Object) -> str:
    """Where the objects of a definition are."""
    return f"/apis/{made['spec']['group']}/v1/namespaces/{api.namespace}/things"
