"""Refusals. From the API conventions, "Response Status Kind" and "HTTP Status codes"."""

from typing import Any

import pytest
from tests.conformance import shapes
from tests.conformance.api import Api

Object = dict[str, Any]


async def test_what_is_not_there_is_named(api: Api) -> None:
    answer = (await api.call("GET", api.path("configmaps", "none"))).refused(404, "NotFound")
    assert answer.body["message"] == 'configmaps "none" not found'
    assert answer.body["details"] == {"name": "none", "kind": "configmaps"}
    answer = (await api.call("DELETE", api.path("deployments", "none"))).refused(404, "NotFound")
    assert answer.body["message"] == 'deployments.apps "none" not found'
    assert answer.body["details"] == {"name": "none", "group": "apps", "kind": "deployments"}
    (await api.call("PUT", api.path("configmaps", "none"), shapes.config("none"))).refused(404, "NotFound")


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/apis/none.example.org/v1/things", "/nowhere"])
async def test_a_path_that_nothing_serves_is_not_found(api: Api, path: str) -> None:
    assert (await api.call("GET", path)).code == 404


@pytest.mark.parametrize(("method", "resource"), [("PUT", "configmaps"), ("PATCH", "configmaps")])
async def test_a_collection_cannot_be_replaced(api: Api, method: str, resource: str) -> None:
    assert (await api.call(method, api.path(resource), {})).code == 405


async def test_objects_live_in_namespaces_that_exist(api: Api) -> None:
    """Namespaces: admission by NamespaceLifecycle."""
    answer = await api.call("POST", "/api/v1/namespaces/none-such/configmaps", shapes.config("a"))
    assert answer.refused(404, "NotFound").body["message"] == 'namespaces "none-such" not found'


async def test_a_name_is_a_dns_name(api: Api) -> None:
    """Object Names and IDs."""
    for name in ("Upper", "under_score", "-dash", "a" * 254):
        answer = (await api.call("POST", api.path("configmaps"), shapes.config(name))).refused(422, "Invalid")
        assert answer.causes() == {("metadata.name", "FieldValueInvalid")}, name
        assert answer.body["details"]["kind"] == "ConfigMap"
    answer = (await api.call("POST", api.path("configmaps"), {"metadata": {}})).refused(422, "Invalid")
    assert answer.causes() == {("metadata.name", "FieldValueRequired")}


async def test_a_label_has_the_form_of_a_label(api: Api) -> None:
    """Labels and Selectors, "Syntax and character set"."""
    for labels in ({"a b": "c"}, {"a": "-"}, {"a": "x" * 64}, {"a/b/c": "d"}):
        answer = await api.call("POST", api.path("configmaps"), shapes.config("a", labels=labels))
        assert all(field.startswith("metadata.labels") for field, _ in answer.refused(422, "Invalid").causes()), labels


async def test_the_body_fits_the_path(api: Api) -> None:
    path = api.path("configmaps")
    await api.create(path, shapes.config("a"))
    other_kind = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}}
    (await api.call("POST", path, other_kind)).refused(400, "BadRequest")
    elsewhere = shapes.config("b", namespace="default")
    (await api.call("POST", path, elsewhere)).refused(400, "BadRequest")
    (await api.call("PUT", api.path("configmaps", "a"), shapes.config("b"))).refused(400, "BadRequest")


async def test_the_body_is_of_a_form_that_the_server_reads(api: Api) -> None:
    path = api.path("configmaps")
    mistyped = b'{"metadata": {"name": "a"}, "data": {"a": 1}}'
    for body in (b"{", b"[]", b'"text"', b'{"metadata": {"name": 1}}', mistyped):
        (await api.call("POST", path, body)).refused(400, "BadRequest")
    (await api.call("POST", api.path("secrets"), {"metadata": {"name": "a"}, "data": {"a": "%"}})).refused(
        400, "BadRequest"
    )
    (await api.call("POST", path, b"<a/>", kind="application/xml")).refused(415, "UnsupportedMediaType")


async def test_yaml_is_read_as_well(api: Api) -> None:
    """API Concepts, "Alternate representations of resources"."""
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: 'yes'}\n"
    answer = await api.call("POST", api.path("configmaps"), body, kind="application/yaml")
    assert (answer.code, answer.body["data"]) == (201, {"a": "yes"})


async def test_a_body_may_be_three_megabytes_and_not_more(api: Api) -> None:
    """Request bodies are limited to 3 MiB."""
    body = shapes.config("a", {"a": "x" * (3 * 1024 * 1024 + 1)})
    (await api.call("POST", api.path("configmaps"), body)).refused(413, "RequestEntityTooLarge")


async def test_every_cause_is_named_at_once(api: Api) -> None:
    """Conventions, "Validation": all errors of an object are reported together."""
    broken = shapes.deployment("web", replicas=-1)
    broken["spec"]["template"]["metadata"]["labels"] = {"other": "label"}
    answer = (await api.call("POST", api.path("deployments"), broken)).refused(422, "Invalid")
    assert {("spec.replicas", "FieldValueInvalid"), ("spec.template.metadata.labels", "FieldValueInvalid")} == (
        answer.causes()
    )
    assert answer.body["details"] | {"causes": []} == {
        "name": "web",
        "group": "apps",
        "kind": "Deployment",
        "causes": [],
    }
    assert answer.body["message"].startswith('Deployment.apps "web" is invalid: [')


async def test_what_a_pod_needs_is_required(api: Api) -> None:
    """Pod v1: containers, and in them name and image; names are unique."""
    await api.allow_pods()
    answer = await api.call("POST", api.path("pods"), shapes.pod("p", containers=[]))
    assert ("spec.containers", "FieldValueRequired") in answer.refused(422, "Invalid").causes()
    twice = [{"name": "app", "image": "a"}, {"name": "app", "image": "b"}]
    answer = await api.call("POST", api.path("pods"), shapes.pod("p", containers=twice))
    assert answer.refused(422, "Invalid").causes() == {("spec.containers[1].name", "FieldValueDuplicate")}


CONTAINER: Object = {"name": "app", "image": "app:1"}


@pytest.mark.parametrize(
    ("spec", "field", "reason"),
    [
        ({"restartPolicy": "Sometimes"}, "restartPolicy", "FieldValueNotSupported"),
        ({"dnsPolicy": "Odd"}, "dnsPolicy", "FieldValueNotSupported"),
        ({"volumes": [{"name": "v"}, {"name": "v"}]}, "volumes[1].name", "FieldValueDuplicate"),
        ({"containers": [CONTAINER | {"name": "UPPER"}]}, "containers[0].name", "FieldValueInvalid"),
        (
            {"containers": [CONTAINER | {"imagePullPolicy": "Maybe"}]},
            "containers[0].imagePullPolicy",
            "FieldValueNotSupported",
        ),
        (
            {"containers": [CONTAINER | {"volumeMounts": [{"name": "none", "mountPath": "/a"}]}]},
            "containers[0].volumeMounts[0].name",
            "FieldValueNotFound",
        ),
        (
            {"containers": [CONTAINER | {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}}}]},
            "containers[0].resources.requests",
            "FieldValueInvalid",
        ),
    ],
)
async def test_a_pod_asks_for_what_there_is(api: Api, spec: Object, field: str, reason: str) -> None:
    """Pod v1: policies, volumes and their mounts, names, resources."""
    await api.allow_pods()
    answer = await api.call("POST", api.path("pods"), shapes.pod("p", **spec))
    assert (f"spec.{field}", reason) in answer.refused(422, "Invalid").causes()


async def test_a_quantity_is_a_number_with_a_unit(api: Api) -> None:
    """Resource management, "Resource units in Kubernetes": what cannot be read is no Pod."""
    await api.allow_pods()
    asking = CONTAINER | {"resources": {"requests": {"memory": "much"}}}
    (await api.call("POST", api.path("pods"), shapes.pod("p", containers=[asking]))).refused(400, "BadRequest")


@pytest.mark.parametrize(
    ("resource", "body", "field", "reason"),
    [
        ("services", shapes.service("s", type="Odd"), "spec.type", "FieldValueNotSupported"),
        ("services", shapes.service("s", type="ExternalName"), "spec.externalName", "FieldValueRequired"),
        (
            "services",
            shapes.service("s", ports=[{"port": 1, "protocol": "HTTP"}]),
            "spec.ports[0].protocol",
            "FieldValueNotSupported",
        ),
        ("namespaces", {"metadata": {"name": "a.b"}}, "metadata.name", "FieldValueInvalid"),
        ("configmaps", shapes.config("a", {"a b": "c"}), "data[a b]", "FieldValueInvalid"),
        ("configmaps", shapes.config("a", {"a": "x" * (1024 * 1024 + 1)}), "", "FieldValueTooLong"),
        (
            "configmaps",
            shapes.config("a", annotations={"a": "x" * (256 * 1024)}),
            "metadata.annotations",
            "FieldValueTooLong",
        ),
        ("deployments", shapes.deployment("d", selector={}), "spec.selector", "FieldValueInvalid"),
        (
            "deployments",
            shapes.deployment("d", strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
            "spec.strategy.rollingUpdate",
            "FieldValueForbidden",
        ),
    ],
)
async def test_what_cannot_be_is_named_with_its_field(
    api: Api, resource: str, body: Object, field: str, reason: str
) -> None:
    """API reference: what fields may hold; ConfigMap: 1 MiB; annotations: 256 KiB in all."""
    answer = await api.call("POST", api.path(resource), body)
    assert (field, reason) in answer.refused(422, "Invalid").causes()


async def test_jobs_end(api: Api) -> None:
    """Job: only a restartPolicy of Never or OnFailure is allowed."""
    body = {"metadata": {"name": "j"}, "spec": {"template": {"spec": {"containers": [CONTAINER]}}}}
    answer = await api.call("POST", api.path("jobs", group="batch/v1"), body)
    assert "spec.template.spec.restartPolicy" in {field for field, _ in answer.refused(422, "Invalid").causes()}


async def test_a_service_has_ports_of_a_possible_number(api: Api) -> None:
    """ServicePort: 1 to 65535, named if there are several."""
    answer = await api.call("POST", api.path("services"), shapes.service("s", ports=[{"port": 70000}]))
    assert ("spec.ports[0].port", "FieldValueInvalid") in answer.refused(422, "Invalid").causes()
    answer = await api.call("POST", api.path("services"), shapes.service("s", ports=[]))
    assert ("spec.ports", "FieldValueRequired") in answer.refused(422, "Invalid").causes()
    answer = await api.call("POST", api.path("services"), shapes.service("s", ports=[{"port": 1}, {"port": 2}]))
    assert ("spec.ports[0].name", "FieldValueRequired") in answer.refused(422, "Invalid").causes()


async def test_fields_that_a_kind_does_not_have_are_left_out_with_a_warning_or_refused(api: Api) -> None:
    """API Concepts, "Validation for unrecognized or duplicate fields"."""
    body = shapes.deployment("web", replica=3)
    answer = await api.call("POST", api.path("deployments"), body, fieldValidation="Strict")
    assert 'unknown field "spec.replica"' in answer.refused(400, "BadRequest").body["message"]
    answer = await api.call("POST", api.path("deployments"), body)
    assert answer.code == 201
    assert "replica" not in answer.body["spec"]
    assert answer.warnings == ['299 - "unknown field \\"spec.replica\\""']


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": "x"}, 400),
        ({"continue": "x"}, 400),
        ({"labelSelector": "a in"}, 400),
        ({"fieldSelector": "metadata.name"}, 400),
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersionMatch": "Other", "resourceVersion": "1"}, 422),
    ],
)
async def test_parameters_of_lists_that_make_no_sense(api: Api, query: dict[str, str], code: int) -> None:
    answer = await api.call("GET", api.path("configmaps"), **query)
    answer.refused(code, "BadRequest" if code == 400 else "Invalid")
