"""Who may do what: examples as an administrator would write them, and a naive second opinion."""

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.lab.api import rbac
from isthmus.lab.api.contracts import Asked, User

Object = dict[str, Any]
JANE = User("jane", groups=("dev", "system:authenticated"))
ROBOT = User(
    "system:serviceaccount:shop:robot",
    groups=("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"),
)
ANYONE = User("system:anonymous", groups=("system:unauthenticated",))


class Roles:
    """A store that holds roles and bindings."""

    def __init__(self, *objects: Object) -> None:
        self._objects = objects

    def get(self, group: str, resource: str, namespace: str | None, name: str) -> Object | None:
        found = (obj for obj in self.list(group, resource, namespace) if obj["metadata"]["name"] == name)
        return next(found, None)

    def list(self, group: str, resource: str, namespace: str | None = None) -> list[Object]:
        assert group == "rbac.authorization.k8s.io"
        return [
            obj
            for obj in self._objects
            if obj["kind"].lower() + "s" == resource and namespace in (None, obj["metadata"].get("namespace"))
        ]


def role(name: str, *rules: Object, namespace: str = "", **rest: Any) -> Object:
    metadata: Object = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"kind": "Role" if namespace else "ClusterRole", "metadata": metadata, "rules": list(rules)} | rest


def binding(name: str, to: Object, *subjects: Object, namespace: str = "") -> Object:
    metadata: Object = {"name": name} | ({"namespace": namespace} if namespace else {})
    reference = {"kind": to["kind"], "name": to["metadata"]["name"], "apiGroup": rbac.GROUP}
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    return {"kind": kind, "metadata": metadata, "subjects": list(subjects), "roleRef": reference}


def rule(verbs: str, resources: str = "", *, group: str = "", **rest: Any) -> Object:
    return {"verbs": verbs.split(","), "apiGroups": [group], "resources": resources.split(",")} | rest


def user(name: str) -> Object:
    return {"kind": "User", "name": name}


def ask(store: Roles, who: User, verb: str, what: str, *, namespace: str = "", name: str = "") -> tuple[bool, str]:
    """`what` is `resource`, `resource/subresource` or, with a leading slash, a path."""
    resource, _, subresource = ("", "", "") if what.startswith("/") else what.partition("/")
    path = what if what.startswith("/") else ""
    return rbac.Rbac(store).allowed(who, Asked(verb, "", resource, subresource, namespace, name, path))


READER = role("reader", rule("get,list", "pods"))


def test_nothing_is_allowed_that_no_role_allows() -> None:
    assert ask(Roles(READER), JANE, "get", "pods", namespace="shop") == (False, "")


def test_administrators_may_do_everything() -> None:
    admin = User("root", groups=("system:masters",))
    assert ask(Roles(), admin, "delete", "nodes")[0]
    assert ask(Roles(), admin, "post", "/anything")[0]


def test_a_cluster_role_binding_counts_everywhere_and_says_so() -> None:
    store = Roles(READER, binding("readers", READER, {"kind": "Group", "name": "dev"}))
    reason = 'RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to Group "dev"'
    assert ask(store, JANE, "get", "pods", namespace="shop") == (True, reason)
    assert ask(store, JANE, "list", "pods")[0]
    assert not ask(store, JANE, "delete", "pods", namespace="shop")[0]
    assert not ask(store, ROBOT, "get", "pods")[0]


def test_a_role_binding_counts_in_its_namespace_only() -> None:
    store = Roles(READER, binding("b", READER, user("jane"), namespace="shop"))
    reason = 'RBAC: allowed by RoleBinding "b/shop" of ClusterRole "reader" to User "jane"'
    assert ask(store, JANE, "get", "pods", namespace="shop") == (True, reason)
    assert not ask(store, JANE, "get", "pods", namespace="bank")[0]
    assert not ask(store, JANE, "get", "pods")[0]


def test_a_role_of_another_namespace_is_not_found() -> None:
    elsewhere = role("r", rule("*", "*"), namespace="bank")
    store = Roles(elsewhere, binding("b", elsewhere, user("jane"), namespace="shop"))
    assert ask(store, JANE, "get", "pods", namespace="shop") == (
        False,
        'RBAC: role.rbac.authorization.k8s.io "r" not found',
    )


def test_a_service_account_without_a_namespace_is_of_the_bindings() -> None:
    robot = {"kind": "ServiceAccount", "name": "robot"}
    assert ask(Roles(READER, binding("b", READER, robot, namespace="shop")), ROBOT, "get", "pods", namespace="shop")[0]
    assert not ask(Roles(READER, binding("b", READER, robot)), ROBOT, "get", "pods")[0]
    assert ask(Roles(READER, binding("b", READER, robot | {"namespace": "shop"})), ROBOT, "get", "pods")[0]


def test_groups_of_service_accounts() -> None:
    everyone = {"kind": "Group", "name": "system:serviceaccounts:shop"}
    assert ask(Roles(READER, binding("b", READER, everyone)), ROBOT, "get", "pods")[0]


@pytest.mark.parametrize(
    ("resources", "asked", "expected"),
    [
        ("pods", "pods/log", False),
        ("pods/log", "pods/log", True),
        ("pods/log", "pods", False),
        ("*", "pods/log", True),
        ("*/log", "pods/log", True),
        ("*/log", "pods", False),
        ("pods/*", "pods/log", False),
    ],
)
def test_subresources_are_resources_of_their_own(resources: str, asked: str, expected: bool) -> None:
    some = role("r", rule("get", resources))
    assert ask(Roles(some, binding("b", some, user("jane"))), JANE, "get", asked)[0] is expected


def test_names_narrow_a_rule() -> None:
    one = role("r", rule("get,list", "configmaps", resourceNames=["config"]))
    store = Roles(one, binding("b", one, user("jane")))
    assert ask(store, JANE, "get", "configmaps", name="config")[0]
    assert not ask(store, JANE, "get", "configmaps", name="other")[0]
    assert not ask(store, JANE, "list", "configmaps")[0]


def test_paths_that_are_no_resources() -> None:
    metrics = role("m", {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/debug/*"]})
    store = Roles(metrics, binding("b", metrics, user("jane")))
    assert ask(store, JANE, "get", "/metrics")[0]
    assert ask(store, JANE, "get", "/debug/pprof")[0]
    assert not ask(store, JANE, "get", "/metrics/x")[0]
    assert not ask(store, JANE, "post", "/metrics")[0]


def test_discovery_is_for_the_authenticated_and_health_for_all() -> None:
    assert ask(Roles(), JANE, "get", "/apis/apps/v1")[0]
    assert ask(Roles(), JANE, "get", "/openapi/v3")[0]
    assert not ask(Roles(), ANYONE, "get", "/apis")[0]
    assert ask(Roles(), ANYONE, "get", "/healthz")[0]
    assert ask(Roles(), ANYONE, "get", "/version")[0]


def test_an_aggregated_role_is_the_sum_of_those_it_selects() -> None:
    selector = {"matchLabels": {"into-view": "true"}}
    view = role("view", aggregationRule={"clusterRoleSelectors": [selector]})
    part = role("part", rule("get", "pods"))
    part["metadata"]["labels"] = {"into-view": "true"}
    other = role("other", rule("get", "secrets"))
    loop = role("loop", aggregationRule={"clusterRoleSelectors": [{}]})
    loop["metadata"]["labels"] = {"into-view": "true"}
    store = Roles(view, part, binding("b", view, user("jane")))
    assert ask(store, JANE, "get", "pods")[0]
    assert not ask(Roles(view, part, other, binding("b", view, user("jane"))), JANE, "get", "secrets")[0]
    assert ask(Roles(view, loop, other, binding("b", view, user("jane"))), JANE, "get", "secrets")[0]


def test_a_binding_to_a_role_that_is_gone_does_not_hide_the_others() -> None:
    gone = role("gone")
    store = Roles(READER, binding("a", gone, user("jane")), binding("b", READER, user("jane")))
    assert ask(store, JANE, "get", "pods")[0]
    assert ask(store, JANE, "get", "secrets") == (
        False,
        'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found',
    )


VERBS, GROUPS, RESOURCES, SUBRESOURCES = ("get", "list"), ("", "apps"), ("pods", "nodes"), ("", "log")


def some(values: Iterable[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from([*values, "*"]), max_size=2)


RULES = st.fixed_dictionaries(
    {
        "verbs": some(VERBS),
        "apiGroups": some(GROUPS),
        "resources": some(["pods", "nodes", "pods/log", "*/log"]),
        "resourceNames": st.lists(st.sampled_from(["a", "b"]), max_size=1),
    }
)


@given(RULES)
def test_a_rule_grants_what_writing_it_out_grants(found: dict[str, list[str]]) -> None:
    """The second opinion: list everything that the rule could mean, and look the request up."""
    full = {"pods", "nodes", "pods/log", "nodes/log"}
    meant = {
        "*": full,
        "*/log": {"pods/log", "nodes/log"},
        "pods": {"pods"},
        "nodes": {"nodes"},
        "pods/log": {"pods/log"},
    }
    verbs = {verb for entry in found["verbs"] for verb in (VERBS if entry == "*" else (entry,))}
    groups = {group for entry in found["apiGroups"] for group in (GROUPS if entry == "*" else (entry,))}
    resources = {resource for entry in found["resources"] for resource in meant[entry]}
    allowed_names = set(found["resourceNames"]) or {"", "a", "b"}
    written_out = set(itertools.product(verbs, groups, resources, allowed_names))
    for verb, group, resource, sub, name in itertools.product(VERBS, GROUPS, RESOURCES, SUBRESOURCES, ("", "a", "b")):
        request = Asked(verb=verb, group=group, resource=resource, subresource=sub, name=name)
        asked = (verb, group, f"{resource}/{sub}" if sub else resource, name)
        assert rbac.grants(found, request) == (asked in written_out), asked
