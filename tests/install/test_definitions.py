"""The definitions are such as a real API server takes: structural schemas without what it would drop or refuse."""

from collections.abc import Iterator
from typing import Any

import pytest

from isthmus.install import crds

SCHEMAS = {
    f"{definition['metadata']['name']} {version['name']}": version["schema"]["openAPIV3Schema"]
    for definition in crds.control_plane()
    for version in definition["spec"]["versions"]
}
KNOWN = {
    "type", "properties", "required", "items", "additionalProperties", "description", "default", "enum", "format",
    "minLength", "maxLength", "pattern", "minimum", "maximum", "minItems", "maxItems", "maxProperties", "nullable",
    "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys", "x-kubernetes-validations",
}  # fmt: skip


NUMBER_OR_TEXT = [{"type": "integer"}, {"type": "string"}]
"""The one alternative that a structural schema may have."""


def nodes(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from nodes(schema[word], f"{path}[]")


@pytest.mark.parametrize("which", SCHEMAS)
def test_every_schema_is_structural(which: str) -> None:
    for path, node in nodes(SCHEMAS[which]):
        either = {"anyOf": NUMBER_OR_TEXT} if node.get("x-kubernetes-int-or-string") else {}
        assert node.keys() <= KNOWN | either.keys(), path
        assert node.get("anyOf", NUMBER_OR_TEXT) == NUMBER_OR_TEXT, path
        assert "type" in node or node.get("x-kubernetes-int-or-string"), f"{path} has no type"
        assert not ("properties" in node and "additionalProperties" in node), path
        if node.get("type") == "array":
            assert "items" in node, path
        if node.get("type") == "object" and path != ".metadata":
            assert node.keys() & {"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"}, path
        assert set(node.get("required", ())) <= set(node.get("properties", ())), path


def test_exactly_one_version_of_each_is_stored() -> None:
    for definition in crds.control_plane():
        assert [version["storage"] for version in definition["spec"]["versions"]].count(True) == 1
