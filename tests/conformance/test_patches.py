"""The four patches, and who owns what. From "Update API Objects in Place" and "Server-Side Apply"."""

import json
from typing import Any

from tests.conformance import shapes
from tests.conformance.api import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api

Object = dict[str, Any]
TWO = [{"name": "app", "image": "app:1"}, {"name": "side", "image": "side:1"}]


async def _deployed(api: Api) -> str:
    body = shapes.deployment("web")
    body["spec"]["template"]["spec"]["containers"] = TWO
    await api.create(api.path("deployments"), body, fieldManager="creator")
    return api.path("deployments", "web")


def _containers(obj: Object) -> list[tuple[str, str]]:
    return [(found["name"], found["image"]) for found in obj["spec"]["template"]["spec"]["containers"]]


def _with_containers(*containers: Object) -> Object:
    return {"spec": {"template": {"spec": {"containers": list(containers)}}}}


async def test_a_merge_patch_replaces_lists_and_removes_what_is_null(api: Api) -> None:
    """RFC 7396."""
    path = await _deployed(api)
    await api.patch(path, {"metadata": {"annotations": {"a": "1", "b": "2"}}})
    patched = await api.patch(path, {"metadata": {"annotations": {"a": None}}})
    assert patched["metadata"]["annotations"] == {"b": "2"}
    patched = await api.patch(path, _with_containers({"name": "one", "image": "one:1"}))
    assert _containers(patched) == [("one", "one:1")]


async def test_a_strategic_patch_merges_containers_by_name(api: Api) -> None:
    """patchStrategy and patchMergeKey; the $patch directive."""
    path = await _deployed(api)
    patched = await api.patch(path, _with_containers({"name": "side", "image": "side:2"}), STRATEGIC)
    assert set(_containers(patched)) == {("app", "app:1"), ("side", "side:2")}
    patched = await api.patch(path, _with_containers({"name": "app", "$patch": "delete"}), STRATEGIC)
    assert _containers(patched) == [("side", "side:2")]
    patched = await api.patch(path, _with_containers({"$patch": "replace"}, {"name": "x", "image": "x:1"}), STRATEGIC)
    assert _containers(patched) == [("x", "x:1")]


async def test_a_json_patch_does_what_its_operations_say_or_nothing(api: Api) -> None:
    """RFC 6902."""
    path = await _deployed(api)
    steps = [
        {"op": "test", "path": "/spec/replicas", "value": 1},
        {"op": "replace", "path": "/spec/replicas", "value": 2},
        {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "third", "image": "c:1"}},
        {"op": "remove", "path": "/spec/template/spec/containers/0"},
    ]
    patched = await api.patch(path, steps, JSON_PATCH)
    assert patched["spec"]["replicas"] == 2
    assert [name for name, _ in _containers(patched)] == ["side", "third"]
    (await api.call("PATCH", path, steps, kind=JSON_PATCH)).refused(422, "Invalid")
    missing = [{"op": "replace", "path": "/spec/none/deep", "value": 1}]
    (await api.call("PATCH", path, missing, kind=JSON_PATCH)).refused(422, "Invalid")
    (await api.call("PATCH", path, {"op": "add"}, kind=JSON_PATCH)).refused(400, "BadRequest")
    assert (await api.get(path))["spec"]["replicas"] == 2


async def test_a_patch_is_of_one_of_four_types(api: Api) -> None:
    path = await _deployed(api)
    (await api.call("PATCH", path, {}, kind="application/json")).refused(415, "UnsupportedMediaType")
    (await api.call("PATCH", path, b"{", kind=MERGE)).refused(400, "BadRequest")


# --- server-side apply ----------------------------------------------------------------------------------------------
def _config(**data: str) -> Object:
    return shapes.applied("v1", "ConfigMap", shapes.config("a", data))


async def _apply(api: Api, who: str, obj: Object, **query: str) -> Object:
    return await api.patch(api.path("configmaps", "a"), obj, APPLY, fieldManager=who, **query)


async def test_whoever_applies_owns_what_it_says_and_lets_go_of_what_it_no_longer_says(api: Api) -> None:
    """ "Field management": fields that a manager does not list any more, and nobody else owns, are removed."""
    applied = await _apply(api, "me", _config(a="1", b="2"))
    (entry,) = applied["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("me", "Apply", "v1")
    assert entry["fieldsV1"]["f:data"] == {"f:a": {}, "f:b": {}}
    assert (await _apply(api, "me", _config(a="3")))["data"] == {"a": "3"}


async def test_fields_of_others_are_conflicts_unless_forced(api: Api) -> None:
    """ "Conflicts": the status names who owns which field."""
    await _apply(api, "me", _config(a="1", b="2"))
    answer = await api.call("PATCH", api.path("configmaps", "a"), _config(a="9"), kind=APPLY, fieldManager="other")
    answer.refused(409, "Conflict")
    assert answer.causes() == {(".data.a", "FieldManagerConflict")}
    assert answer.body["details"]["causes"][0]["message"] == 'conflict with "me"'
    forced = await _apply(api, "other", _config(a="9"), force="true")
    assert forced["data"] == {"a": "9", "b": "2"}
    assert (await _apply(api, "me", _config(b="2")))["data"] == {"a": "9", "b": "2"}


async def test_a_field_may_have_several_owners_who_agree(api: Api) -> None:
    """ "Using Server-Side Apply in a controller", shared field owners."""
    await _apply(api, "me", _config(a="1"))
    await _apply(api, "other", _config(a="1"))
    assert (await _apply(api, "me", _config()))["data"] == {"a": "1"}
    assert not (await _apply(api, "other", _config())).get("data")


async def test_what_others_write_without_applying_is_theirs(api: Api) -> None:
    """ "Operations": Update takes ownership without conflicts, and is in the way of the next Apply."""
    await _apply(api, "me", _config(a="1"))
    path = api.path("configmaps", "a")
    written = await api.patch(path, {"data": {"a": "2"}}, fieldManager="editor")
    managers = {(entry["manager"], entry["operation"]) for entry in written["metadata"]["managedFields"]}
    assert ("editor", "Update") in managers
    answer = await api.call("PATCH", path, _config(a="1"), kind=APPLY, fieldManager="me")
    assert answer.refused(409, "Conflict").causes() == {(".data.a", "FieldManagerConflict")}
    assert 'conflict with "editor" using v1' in answer.body["message"]


async def test_applying_merges_keyed_lists_and_keeps_what_controllers_and_defaults_filled_in(api: Api) -> None:
    """ "Merge strategy": containers are a map by name."""
    path = await _deployed(api)
    mine = shapes.applied("apps/v1", "Deployment", {"metadata": {"name": "web"}})
    mine |= _with_containers({"name": "third", "image": "third:1"})
    applied = await api.patch(path, mine, APPLY, fieldManager="me")
    assert {name for name, _ in _containers(applied)} == {"app", "side", "third"}
    assert applied["spec"]["template"]["spec"]["restartPolicy"] == "Always"
    await api.patch(f"{path}/status", {"status": {"replicas": 1}})
    del mine["spec"]
    applied = await api.patch(path, mine, APPLY, fieldManager="me")
    assert {name for name, _ in _containers(applied)} == {"app", "side"}
    assert applied["status"]["replicas"] == 1


async def test_whoever_applied_from_the_client_goes_on_from_the_server(api: Api) -> None:
    """ "Upgrading from client-side apply to server-side apply": what it wrote is no conflict for kubectl."""
    before = shapes.applied("v1", "ConfigMap", shapes.config("a", {"a": "1", "b": "1"}))
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(before)}
    body = before | {"metadata": {"name": "a", "annotations": annotations}}
    await api.create(api.path("configmaps"), body, fieldManager="kubectl-client-side-apply")
    path, after = api.path("configmaps", "a"), _config(a="2", b="1")
    (await api.call("PATCH", path, after, kind=APPLY, fieldManager="other")).refused(409, "Conflict")
    applied = await _apply(api, "kubectl", after)
    assert applied["data"] == {"a": "2", "b": "1"}
    said = applied["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert json.loads(said)["data"] == applied["data"]
    await api.patch(path, {"data": {"b": "changed"}}, fieldManager="editor")
    answer = await api.call("PATCH", path, _config(a="2", b="3"), kind=APPLY, fieldManager="kubectl")
    assert answer.refused(409, "Conflict").causes() == {(".data.b", "FieldManagerConflict")}


async def test_a_status_in_what_is_applied_is_nobodys(api: Api) -> None:
    """ "Field management": what is written at its own path is neither owned nor in conflict elsewhere."""
    path = await _deployed(api)
    await api.patch(f"{path}/status", {"status": {"replicas": 1}}, fieldManager="controller")
    mine = shapes.applied("apps/v1", "Deployment", {"metadata": {"name": "web"}, "status": {"replicas": 5}})
    mine["spec"] = {"replicas": 1}
    applied = await api.patch(path, mine, APPLY, fieldManager="me")
    assert applied["status"]["replicas"] == 1
    (entry,) = (entry for entry in applied["metadata"]["managedFields"] if entry["manager"] == "me")
    assert entry["fieldsV1"] == {"f:spec": {"f:replicas": {}}}


async def test_applying_needs_a_manager_and_no_managed_fields(api: Api) -> None:
    path = api.path("configmaps", "a")
    answer = (await api.call("PATCH", path, _config(a="1"), kind=APPLY)).refused(422, "Invalid")
    assert answer.causes() == {("fieldManager", "FieldValueRequired")}
    applied = await _apply(api, "me", _config(a="1"))
    applied = shapes.applied("v1", "ConfigMap", applied)
    (await api.call("PATCH", path, applied, kind=APPLY, fieldManager="me")).refused(400, "BadRequest")


async def test_yaml_is_what_is_applied(api: Api) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  a: 'on'\n"
    assert (await _apply(api, "me", body))["data"] == {"a": "on"}  # type: ignore[arg-type]
