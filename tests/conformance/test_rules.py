"""What a schema can say beyond types. From "Extend the Kubernetes API with CustomResourceDefinitions".

Its sections "Validation", "Validation rules", "Selectable fields"; list types from "Server-Side Apply".
"""

from typing import Any

import pytest
from tests.conformance.api import MERGE, Api
from tests.conformance.definitions import Object, collection, define_with

RULED: Object = {
    "type": "object",
    "x-kubernetes-validations": [
        {"rule": "self.least <= self.most", "message": "least may not be above most"},
        {"rule": "!has(self.name) || self.name != 'taken'", "reason": "FieldValueForbidden", "fieldPath": ".name"},
        {
            "rule": "!has(self.odd) || self.odd % 2 == 1",
            "messageExpression": "string(self.odd) + ' is even'",
        },
        {"rule": "!has(self.x__dash__y) || self.x__dash__y.startsWith('x')"},
    ],
    "properties": {
        "least": {"type": "integer", "default": 1},
        "most": {"type": "integer", "default": 9},
        "name": {"type": "string"},
        "odd": {"type": "integer"},
        "x-y": {"type": "string"},
        "fixed": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is fixed"}]},
        "ports": {
            "type": "array",
            "maxItems": 8,
            "items": {
                "type": "object",
                "properties": {"port": {"type": "integer"}, "name": {"type": "string", "maxLength": 9}},
                "x-kubernetes-validations": [{"rule": "self.port < 1024 ? has(self.name) : true"}],
            },
            "x-kubernetes-validations": [{"rule": "self.all(a, self.exists_one(b, a.port == b.port))"}],
        },
    },
}
PLAIN: Object = {
    "type": "object",
    "properties": {
        "either": {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        "some": {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        "word": {"type": "string", "not": {"enum": ["bad"]}, "allOf": [{"minLength": 2}, {"maxLength": 4}]},
        "few": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 1},
        "share": {"type": "number", "minimum": 0, "exclusiveMinimum": True, "multipleOf": 0.5},
        "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "map": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["key"],
            "items": {"type": "object", "required": ["key"], "properties": {"key": {"type": "string"}}},
        },
    },
}


async def _ruled(api: Api) -> str:
    """Where objects with rules are; skipped where the server says that it does not enforce them."""
    made = await define_with(api, RULED)
    if any("not enforced" in warning for warning in made.warnings):
        pytest.skip(f"this server keeps rules and does not enforce them: {made.warnings[0]}")
    return collection(api, made.body)


def _thing(path: str, called: str = "a", /, **spec: Any) -> Object:
    """An object for a collection: custom resources have to say their kind."""
    group = path.split("/")[2]
    return {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": called}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "field", "reason", "words"),
    [
        ({"least": 5, "most": 3}, "spec", "FieldValueInvalid", "least may not be above most"),
        ({"name": "taken"}, "spec.name", "FieldValueForbidden", "failed rule: "),
        ({"odd": 4}, "spec", "FieldValueInvalid", "4 is even"),
        ({"x-y": "y"}, "spec", "FieldValueInvalid", "failed rule: "),
        ({"ports": [{"port": 80}]}, "spec.ports[0]", "FieldValueInvalid", "failed rule: "),
        ({"ports": [{"port": 8080}, {"port": 8080}]}, "spec.ports", "FieldValueInvalid", "failed rule: "),
    ],
)
async def test_what_breaks_a_rule_is_refused_with_its_message(
    api: Api, spec: Object, field: str, reason: str, words: str
) -> None:
    """ "Validation rules": message, messageExpression, reason, fieldPath, and escaped names."""
    path = await _ruled(api)
    answer = (await api.call("POST", path, _thing(path, **spec))).refused(422, "Invalid")
    assert (field, reason) in answer.causes()
    assert words in answer.body["message"]


async def test_what_keeps_the_rules_is_taken(api: Api) -> None:
    """ "Validation rules": defaults are there before rules are evaluated."""
    path = await _ruled(api)
    spec = {"name": "free", "odd": 3, "x-y": "xx", "ports": [{"port": 80, "name": "http"}, {"port": 8080}]}
    made = await api.create(path, _thing(path, **spec))
    assert made["spec"]["least"] == 1


async def test_a_rule_about_the_old_value_is_one_about_changes(api: Api) -> None:
    """ "Transition rules": evaluated on updates only."""
    path = await _ruled(api)
    await api.create(path, _thing(path, fixed="one"))
    same = await api.call("PATCH", f"{path}/a", {"spec": {"fixed": "one", "most": 7}}, kind=MERGE)
    assert same.code == 200, same.body
    changed = await api.call("PATCH", f"{path}/a", {"spec": {"fixed": "two"}}, kind=MERGE)
    assert ("spec.fixed", "FieldValueInvalid") in changed.refused(422, "Invalid").causes()
    assert "is fixed" in changed.body["message"]


async def test_a_rule_that_is_no_expression_is_refused_with_its_definition(api: Api) -> None:
    """ "Validation rules": rules are compiled when definitions are written."""
    await _ruled(api)
    broken = {"type": "object", "x-kubernetes-validations": [{"rule": "self.a ++ 1"}]}
    (await define_with(api, broken, wanted=422)).refused(422, "Invalid")


@pytest.mark.parametrize(
    ("spec", "refused"),
    [
        ({"either": {"a": "x"}}, False),
        ({"either": {"a": "x", "b": "y"}}, True),
        ({"either": {}}, True),
        ({"some": {"a": "x", "b": "y"}}, False),
        ({"some": {}}, True),
        ({"word": "good"}, False),
        ({"word": "bad"}, True),
        ({"word": "x"}, True),
        ({"word": "too long"}, True),
        ({"few": {"a": "b", "c": "d"}}, True),
        ({"share": 0}, True),
        ({"share": 1.5}, False),
        ({"share": 0.3}, True),
        ({"set": ["a", "b"]}, False),
        ({"set": ["a", "a"]}, True),
        ({"map": [{"key": "a"}, {"key": "b"}]}, False),
        ({"map": [{"key": "a"}, {"key": "a"}]}, True),
    ],
)
async def test_junctors_bounds_and_identities_count(api: Api, spec: Object, refused: bool) -> None:
    """ "Validation": structural schemas may use allOf, anyOf, oneOf and not for value validation."""
    made = await define_with(api, PLAIN)
    path = collection(api, made.body)
    answer = await api.call("POST", path, _thing(path, **spec))
    assert answer.code == (422 if refused else 201), answer.body


async def test_fields_that_a_definition_selects_by_can_be_selected_by(api: Api) -> None:
    """ "Selectable fields": exactly those, beside metadata.name and metadata.namespace."""
    schema: Object = {"type": "object", "properties": {"color": {"type": "string"}, "size": {"type": "string"}}}
    made = await define_with(api, schema, selectableFields=[{"jsonPath": ".spec.color"}])
    path = collection(api, made.body)
    await api.create(path, _thing(path, "a", color="blue"))
    await api.create(path, _thing(path, "b", color="red"))
    found = await api.get(path, fieldSelector="spec.color=blue")
    assert [item["metadata"]["name"] for item in found["items"]] == ["a"]
    found = await api.get(path, fieldSelector="spec.color!=blue,metadata.name=b")
    assert [item["metadata"]["name"] for item in found["items"]] == ["b"]
    (await api.call("GET", path, fieldSelector="spec.size=1")).refused(400, "BadRequest")
