"""What the server refuses although every field has the right type."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.lab.api.contracts import ApiError, Object, ResourceInfo, User
from isthmus.lab.api.escalation import check
from isthmus.lab.api.rbac import GROUP, Rbac
from isthmus.lab.api.rules import metadata_problems
from isthmus.lab.api.schema import prepare, problems

WORDS = st.text("aB1-_./", max_size=70)


@settings(max_examples=50)
@given(key=WORDS, value=WORDS)
def test_a_label_that_is_accepted_has_the_form_that_the_api_promises(key: str, value: str) -> None:
    if not metadata_problems({"metadata": {"labels": {key: value}}}):
        *prefix, name = key.split("/")
        assert len(prefix) <= 1
        assert 1 <= len(name) <= 63
        assert len(value) <= 63
        for part in (name, value):
            assert not part or (part[0].isalnum() and part[-1].isalnum())


SCHEMA: Object = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "plain": {"type": "string"},
                "open": {"type": "string", "nullable": True},
                "filled": {"type": "string", "default": "x"},
                "deep": {"type": "object", "additionalProperties": {"type": "string"}},
                "items": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
            },
        }
    },
}
TEXT = st.none() | st.sampled_from(["a", "b"])
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "plain": TEXT,
        "open": TEXT,
        "filled": TEXT,
        "deep": st.none() | st.dictionaries(st.sampled_from("abc"), TEXT),
        "items": st.none() | st.lists(st.fixed_dictionaries({}, optional={"a": TEXT, "z": TEXT}), max_size=2),
    },
)


@settings(max_examples=40)
@given(spec=SPECS)
def test_null_never_makes_an_object_invalid_and_preparing_twice_changes_nothing(spec: Object) -> None:
    once, _ = prepare({"metadata": {}, "spec": spec}, SCHEMA)
    assert problems(once, SCHEMA) == []
    assert prepare(once, SCHEMA) == (once, [])
    assert once["spec"]["filled"] in ("x", "a", "b")
    assert None not in {key: value for key, value in once["spec"].items() if key != "open"}.values()


class Roles:
    """A cluster in which jane may get pods, and bind the role `reader`."""

    ROLES = {
        "jane": [
            {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": ["bind"], "apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["reader"]},
        ],
        "reader": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    }

    def get(self, group: str, resource: str, namespace: str | None, name: str) -> Object | None:
        return {"metadata": {"name": name}, "rules": self.ROLES[name]} if name in self.ROLES else None

    def list(self, group: str, resource: str, namespace: str | None = None) -> list[Object]:
        reference = {"kind": "ClusterRole", "name": "jane"}
        subject = {"kind": "User", "name": "jane"}
        bound = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]}
        return [bound] if resource == "clusterrolebindings" else []


def granted(resource: str, obj: Object) -> bool:
    info = ResourceInfo(GROUP, "v1", resource, "Any", namespaced=False)
    try:
        check(Rbac(Roles()), User("jane"), info, "", {"metadata": {"name": "new"}} | obj)
    except ApiError as refused:
        return refused.code != 403
    return True


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["one"]}, True),
        ({"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods"]}, False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}, False),
        ({"verbs": ["*"], "apiGroups": [""], "resources": ["pods"]}, False),
        ({"verbs": ["get"], "apiGroups": ["*"], "resources": ["pods"]}, False),
        ({"verbs": ["get"], "nonResourceURLs": ["/secret"]}, False),
    ],
)
def test_a_role_gives_no_more_than_its_writer_has(rule: Object, expected: bool) -> None:
    assert granted("clusterroles", {"rules": [rule]}) is expected


@pytest.mark.parametrize(("role", "expected"), [("jane", True), ("reader", True), ("none", False)])
def test_one_binds_what_one_has_or_is_trusted_to_bind(role: str, expected: bool) -> None:
    assert granted("clusterrolebindings", {"roleRef": {"kind": "ClusterRole", "name": role}}) is expected
