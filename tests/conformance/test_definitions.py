"""Custom resources. From "Extend the Kubernetes API with CustomResourceDefinitions" and "Versions in CRDs"."""

from typing import Any

from tests.conformance.api import APPLY, MERGE, STRATEGIC, TABLE, Api, unique
from tests.conformance.definitions import collection, define, define_with, definition, thing, things

Object = dict[str, Any]


async def _made(api: Api, name: str = "a", **spec: Any) -> tuple[Object, Object]:
    """A definition, and an object of it."""
    kind = await define(api)
    group = kind["spec"]["group"]
    return kind, await api.create(things(api, kind), thing(name, group=group, **spec))


async def _refused(api: Api, kind: Object, obj: Object) -> set[tuple[str, str]]:
    answer = await api.call("POST", things(api, kind), obj)
    return answer.refused(422, "Invalid").causes()


async def test_a_definition_says_that_it_is_served(api: Api) -> None:
    """CustomResourceDefinitionStatus: conditions, acceptedNames, storedVersions."""
    kind = await define(api)
    status = kind["status"]
    conditions = {found["type"]: found["status"] for found in status["conditions"]}
    assert (conditions["NamesAccepted"], conditions["Established"]) == ("True", "True")
    assert status["acceptedNames"]["kind"] == "Thing"
    assert status["acceptedNames"]["listKind"] == "ThingList"
    assert status["acceptedNames"]["singular"] == "thing"
    assert status["storedVersions"] == ["v2"]

    async def discovered() -> bool:
        answer = await api.call("GET", f"/apis/{kind['spec']['group']}/v1")
        names = {found["name"] for found in answer.body["resources"]} if answer.code == 200 else set()
        return names == {"things", "things/status", "things/scale"}

    await api.until(discovered, "the resource can be discovered with its subresources")


async def test_a_version_that_is_deprecated_says_so(api: Api) -> None:
    """ "Version deprecation": a Warning header in responses to requests for that version."""
    spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for more, expected in (({}, None), ({"deprecationWarning": "use v2"}, "use v2")):
        made = (await define_with(api, spec, deprecated=True, **more)).body
        answer = await api.call("GET", collection(api, made))
        assert answer.warnings == [f'299 - "{expected or made["spec"]["group"] + "/v1 Thing is deprecated"}"']


async def test_formats_count_that_kubernetes_knows(api: Api) -> None:
    """ "Validation": formats, of which those that are not known are ignored."""
    formats = {"address": "ipv4", "net": "cidr", "when": "date-time", "day": "date", "id": "uuid", "odd": "unknown"}
    properties = {name: {"type": "string", "format": form} for name, form in formats.items()}
    group = (await define_with(api, {"type": "object", "properties": properties})).body["spec"]["group"]
    path = f"/apis/{group}/v1/namespaces/{api.namespace}/things"
    good = {"address": "192.0.2.1", "net": "192.0.2.0/24", "when": "2026-01-02T03:04:05Z", "day": "2026-01-02"}
    body = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "a"}}
    await api.create(path, body | {"spec": good | {"id": "123e4567-e89b-42d3-a456-426614174000", "odd": "x"}})
    for field in ("address", "net", "when", "day", "id"):
        answer = await api.call("POST", path, body | {"spec": {field: "nonsense"}})
        assert {where for where, _ in answer.refused(422, "Invalid").causes()} == {f"spec.{field}"}


async def test_a_custom_resource_says_its_kind(api: Api) -> None:
    """API conventions, "Types (Kinds)": kind and apiVersion; only kinds that are built in are known by their path."""
    kind = await define(api)
    body = thing("a", group=kind["spec"]["group"])
    del body["kind"]
    (await api.call("POST", things(api, kind), body)).refused(400, "BadRequest")


async def test_the_newest_and_most_stable_version_is_preferred(api: Api) -> None:
    """ "Version priority": GA before beta before alpha, whatever the order in the definition, and which is stored."""
    body = definition(f"{unique('g')}.example.org")
    one = body["spec"]["versions"][0]
    names = ("v1alpha2", "v10", "v2", "v11beta2", "foo1", "v1alpha10")
    body["spec"]["versions"] = [one | {"name": name, "storage": name == "v1alpha2"} for name in names]
    made = await api.create(api.path("customresourcedefinitions"), body)
    api.ending.push_async_callback(api.call, "DELETE", api.path("customresourcedefinitions", made["metadata"]["name"]))
    group: Object = {}

    async def discovered() -> bool:
        answer = await api.call("GET", f"/apis/{made['spec']['group']}")
        if answer.code == 200:
            group.update(answer.body)
        return len(group.get("versions", [])) == len(names)

    await api.until(discovered, "the group can be discovered")
    assert group["preferredVersion"]["version"] == "v10"
    found = [version["version"] for version in group["versions"]]
    assert found == ["v10", "v2", "v11beta2", "v1alpha10", "v1alpha2", "foo1"]


async def test_every_version_serves_the_same_objects(api: Api) -> None:
    """Versions in CRDs: with the strategy None, conversion changes apiVersion alone."""
    kind, made = await _made(api)
    found = await api.get(things(api, kind, "v2") + "/a")
    group = kind["spec"]["group"]
    assert (made["apiVersion"], found["apiVersion"]) == (f"{group}/v1", f"{group}/v2")
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert found["spec"] == made["spec"]


async def test_defaults_are_filled_in_where_there_is_something_to_fill(api: Api) -> None:
    """ "Defaulting": in requests and in what is read; not inside objects that are absent."""
    _, made = await _made(api)
    assert made["spec"] == {"name": "x", "size": 3, "level": 1}
    _, made = await _made(api, nested={})
    assert made["spec"]["nested"] == {"depth": 5}


async def test_unknown_fields_are_pruned_unless_they_are_to_be_preserved(api: Api) -> None:
    """ "Field pruning", "Controlling pruning"."""
    _, made = await _made(api, color="red", nested={"x": 1, "depth": 2}, open={"any": {"thing": None}})
    assert "color" not in made["spec"]
    assert made["spec"]["nested"] == {"depth": 2}
    assert made["spec"]["open"] == {"any": {"thing": None}}


async def test_null_is_pruned_or_defaulted_where_it_is_not_allowed(api: Api) -> None:
    """ "Defaulting and Nullable"."""
    _, made = await _made(api, selector=None, limit=None, level=None)
    assert "selector" not in made["spec"]
    assert made["spec"]["limit"] is None
    assert made["spec"]["level"] == 1


async def test_strictness_refuses_and_otherwise_warns_of_unknown_fields(api: Api) -> None:
    """API Concepts, "Validation for unrecognized or duplicate fields": Strict, Warn (the default) and Ignore."""
    kind = await define(api)
    body = thing("a", group=kind["spec"]["group"], color="red")
    answer = await api.call("POST", things(api, kind), body, fieldValidation="Strict")
    assert 'unknown field "spec.color"' in answer.refused(400, "BadRequest").body["message"]
    answer = await api.call("POST", things(api, kind), body, dryRun="All")
    assert (answer.code, len(answer.warnings)) == (201, 1)
    assert 'unknown field \\"spec.color\\"' in answer.warnings[0]
    answer = await api.call("POST", things(api, kind), body, fieldValidation="Ignore")
    assert (answer.code, answer.warnings) == (201, [])


async def test_what_the_schema_does_not_allow_is_refused_with_every_cause(api: Api) -> None:
    """ "Validation"; Status causes of field errors."""
    kind = await define(api)
    group = kind["spec"]["group"]
    nameless = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"size": 10}}
    assert await _refused(api, kind, nameless) == {
        ("spec.name", "FieldValueRequired"),
        ("spec.size", "FieldValueInvalid"),
    }
    for spec, cause in (
        ({"mode": "odd"}, ("spec.mode", "FieldValueNotSupported")),
        ({"name": "UPPER"}, ("spec.name", "FieldValueInvalid")),
        ({"name": "a" * 11}, ("spec.name", "FieldValueTooLong")),
        ({"size": "big"}, ("spec.size", "FieldValueTypeInvalid")),
        ({"tags": ["a", "b", "c"]}, ("spec.tags", "FieldValueTooMany")),
        ({"selector": {"a": 1}}, ("spec.selector.a", "FieldValueTypeInvalid")),
    ):
        assert await _refused(api, kind, thing("a", group=group, **spec)) == {cause}, spec


async def test_a_number_or_a_string_may_be_either(api: Api) -> None:
    """ "IntOrString"."""
    kind, made = await _made(api, port=80)
    assert made["spec"]["port"] == 80
    patched = await api.patch(things(api, kind) + "/a", {"spec": {"port": "http"}})
    assert patched["spec"]["port"] == "http"


async def test_the_status_of_custom_resources_is_written_at_its_own_path(api: Api) -> None:
    """ "Status subresource": generation counts changes except those of metadata and status."""
    kind, made = await _made(api)
    path = things(api, kind) + "/a"
    body = {"spec": {"size": 9}, "status": {"replicas": 2}, "metadata": {"labels": {"a": "b"}}}
    written = await api.patch(path + "/status", body)
    assert (written["status"], written["spec"]["size"], written["metadata"]["generation"]) == ({"replicas": 2}, 3, 1)
    assert "labels" not in written["metadata"]
    written = await api.patch(path, body | {"status": {"replicas": 7}})
    assert (written["status"], written["spec"]["size"], written["metadata"]["generation"]) == ({"replicas": 2}, 9, 2)
    assert written["metadata"]["uid"] == made["metadata"]["uid"]


async def test_custom_resources_scale(api: Api) -> None:
    """ "Scale subresource"."""
    kind, _ = await _made(api)
    path = things(api, kind) + "/a/scale"
    assert (await api.get(path))["spec"] == {"replicas": 3}
    await api.patch(path, {"spec": {"replicas": 5}})
    assert (await api.get(things(api, kind) + "/a"))["spec"]["size"] == 5


async def test_custom_resources_are_shown_with_the_columns_of_their_definition(api: Api) -> None:
    """ "Additional printer columns"."""
    kind, _ = await _made(api, tags=["x"])
    conditions = [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]
    await api.patch(things(api, kind) + "/a/status", {"status": {"conditions": conditions}})
    table = (await api.call("GET", things(api, kind), accept=TABLE)).body
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size", "Ready", "Tags", "Mode"]
    assert table["rows"][0]["cells"] == ["a", 3, "True", '["x"]', None]


async def test_an_update_of_a_custom_resource_says_which_version_it_has_read(api: Api) -> None:
    """API conventions: kinds without unconditional update need metadata.resourceVersion in a PUT."""
    kind, made = await _made(api)
    path = things(api, kind) + "/a"
    blind = made | {"metadata": {"name": "a"}}
    answer = (await api.call("PUT", path, blind)).refused(422, "Invalid")
    assert answer.causes() == {("metadata.resourceVersion", "FieldValueInvalid")}
    assert (await api.call("PUT", path, made)).code == 200


async def test_custom_resources_know_no_strategic_merge(api: Api) -> None:
    """Update API Objects in Place: strategic merge patch is not supported for custom resources."""
    kind, _ = await _made(api)
    answer = await api.call("PATCH", things(api, kind) + "/a", {"spec": {"size": 4}}, kind=STRATEGIC)
    answer.refused(415, "UnsupportedMediaType")


async def test_custom_resources_are_applied(api: Api) -> None:
    """Server-Side Apply: lists without x-kubernetes-list-type are atomic, maps granular."""
    kind = await define(api)
    path, group = things(api, kind) + "/a", kind["spec"]["group"]
    mine = thing("a", group=group, tags=["a"], selector={"a": "1"})
    answer = await api.call("PATCH", path, mine, kind=APPLY, fieldManager="me")
    assert (answer.code, answer.body["spec"]["size"]) == (201, 3)
    theirs = {**mine, "spec": {"tags": ["b"], "selector": {"b": "2"}}}
    answer = (await api.call("PATCH", path, theirs, kind=APPLY, fieldManager="other")).refused(409, "Conflict")
    assert answer.causes() == {(".spec.tags", "FieldManagerConflict")}
    merged = await api.patch(path, theirs, APPLY, fieldManager="other", force="true")
    assert (merged["spec"]["tags"], merged["spec"]["selector"]) == (["b"], {"a": "1", "b": "2"})


async def test_a_definition_takes_its_objects_along_and_waits_for_their_finalizers(api: Api) -> None:
    """ "Delete a CustomResourceDefinition"; finalizer customresourcecleanup.apiextensions.k8s.io."""
    kind, made = await _made(api)
    path = things(api, kind) + "/a"
    await api.patch(path, {"metadata": {"finalizers": ["example.org/hold"]}})
    definition_path = api.path("customresourcedefinitions", kind["metadata"]["name"])
    assert (await api.call("DELETE", definition_path)).code == 200

    async def deleting() -> bool:
        return bool((await api.get(path))["metadata"].get("deletionTimestamp"))

    async def gone() -> bool:
        return await api.is_gone(definition_path) and await api.is_gone(path)

    await api.until(deleting, "the object is being deleted")
    assert (await api.get(definition_path))["metadata"]["deletionTimestamp"]
    await api.patch(path, {"metadata": {"finalizers": None}})
    await api.until(gone, "the definition is gone")
    assert made["metadata"]["uid"]


async def test_a_definition_that_makes_no_sense_is_refused(api: Api) -> None:
    """CustomResourceDefinition: name, one storage version, structural schemas, scope."""
    path = api.path("customresourcedefinitions")
    good = definition("bad.example.org")
    misnamed = {**good, "metadata": {"name": "other.bad.example.org"}}
    both = {**good, "spec": {**good["spec"], "versions": [v | {"storage": True} for v in good["spec"]["versions"]]}}
    bare = {**good, "spec": {**good["spec"], "versions": [{"name": "v1", "served": True, "storage": True}]}}
    lost = {**good, "spec": {**good["spec"], "scope": "Everywhere"}}
    for body, field in (
        (misnamed, "metadata.name"),
        (both, "spec.versions"),
        (bare, "spec.versions[0].schema.openAPIV3Schema"),
        (lost, "spec.scope"),
    ):
        answer = (await api.call("POST", path, body)).refused(422, "Invalid")
        assert field in {where for where, _ in answer.causes()}, answer.body


async def test_a_changed_definition_counts_for_what_comes_next(api: Api) -> None:
    """ "Versions in CRDs": a definition may be changed while it is served."""
    kind, _ = await _made(api)
    path = api.path("customresourcedefinitions", kind["metadata"]["name"])

    field = [
        {
            "op": "add",
            "path": f"/spec/versions/{index}/schema/openAPIV3Schema/properties/spec/properties/color",
            "value": {"type": "string"},
        }
        for index in (0, 1)
    ]
    await api.patch(path, field, "application/json-patch+json")

    async def kept() -> bool:
        answer = await api.call("PATCH", things(api, kind) + "/a", {"spec": {"color": "red"}}, kind=MERGE)
        return bool(answer.body["spec"].get("color") == "red")

    await api.until(kept, "the new field is kept")
