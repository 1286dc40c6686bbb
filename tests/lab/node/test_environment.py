"""What a container finds in its environment."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.lab.node import environment
from isthmus.lab.node.environment import ConfigError

POD = {
    "metadata": {"name": "p", "namespace": "shop", "uid": "u1", "labels": {"app": "web"}, "annotations": {"a/b": "c"}},
    "spec": {
        "nodeName": "n",
        "containers": [{"name": "c", "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}}}],
    },
    "status": {"podIP": "10.244.0.9", "hostIP": "172.30.0.11"},
}
OBJECTS = {
    ("ConfigMap", "cm"): {"kind": "ConfigMap", "data": {"key": "value", "not a name": "x"}},
    ("Secret", "s"): {"kind": "Secret", "data": {"pw": base64.b64encode(b"geheim").decode()}},
}


def lookup(kind, name):
    return OBJECTS.get((kind, name))


def variables(*env, **container):
    return environment.variables_of(POD, {"name": "c", "env": list(env), **container}, lookup)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)$(B)y", "x12y"),
        ("$(MISSING)", "$(MISSING)"),
        ("$$(A)", "$(A)"),
        ("$A ${A}", "$A ${A}"),
        ("$$$(A)", "$1"),
    ],
)
def test_references_are_expanded(text, expected):
    assert environment.expand(text, {"A": "1", "B": "2"}) == expected


@given(st.text(st.characters(exclude_characters="$")))
def test_text_without_references_stays(text):
    assert environment.expand(text, {"A": "1"}) == text


def test_values_refer_to_earlier_values_and_to_the_api_server():
    found = variables({"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(KUBERNETES_SERVICE_HOST)"})
    assert found == {"A": "1", "B": "1-10.96.0.1"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("metadata.labels['app']", "web"),
        ("metadata.annotations['a/b']", "c"),
        ("metadata.labels", 'app="web"'),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "10.244.0.9"),
    ],
)
def test_fields_of_the_pod(path, expected):
    assert variables({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}) == {"X": expected}


@pytest.mark.parametrize(
    ("resource", "divisor", "expected"),
    [
        ("limits.cpu", None, "1"),
        ("limits.cpu", "1m", "500"),
        ("limits.memory", "1Mi", "64"),
        ("requests.cpu", None, "1"),
    ],
)
def test_resources_of_the_container(resource, divisor, expected):
    source = {"resourceFieldRef": {"resource": resource, "divisor": divisor}}
    assert variables({"name": "X", "valueFrom": source}) == {"X": expected}


def test_keys_of_config_maps_and_secrets():
    found = variables(
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "key"}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}},
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "none", "optional": True}}},
        {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "x", "optional": True}}},
    )
    assert found == {"A": "value", "B": "geheim"}


def test_whole_config_maps_with_a_prefix_and_without_names_a_shell_refuses():
    assert variables(envFrom=[{"prefix": "P_", "configMapRef": {"name": "cm"}}]) == {"P_key": "value"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "x"}}, 'configmap "none" not found'),
        ({"secretKeyRef": {"name": "s", "key": "x"}}, "couldn't find key x in Secret s"),
        ({"fieldRef": {"fieldPath": "spec.nonsense"}}, "spec.nonsense"),
    ],
)
def test_what_is_missing_is_named(source, message):
    with pytest.raises(ConfigError, match=message):
        variables({"name": "X", "valueFrom": source})
