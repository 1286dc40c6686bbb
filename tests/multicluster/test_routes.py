"""What the status of an HTTPRoute says: whether it is used, why not, and nothing over what others say there."""

from typing import Any

import pytest

from isthmus.mesh.routes import Known
from isthmus.multicluster.routes import CONTROLLER, told

SERVICES = {("shop", "web"): Known(frozenset({80}), headless=False), ("shop", "pods"): Known(frozenset({80}), True)}
PARENT = {"group": "", "kind": "Service", "name": "web"}
THEIRS = {"parentRef": {"name": "edge"}, "controllerName": "example.net/edge", "conditions": []}
NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def route(*refs: dict[str, Any], parents: Any = (PARENT,), status: Any = None, generation: int = 1) -> dict[str, Any]:
    rules = [{"backendRefs": [{"name": "web", "port": 80}, *refs]}]
    return {
        "metadata": {"name": "web", "namespace": "shop", "generation": generation},
        "spec": {"parentRefs": list(parents), "rules": rules},
        "status": {"parents": list(status or ())},
    }


def verdict(item: dict[str, Any]) -> dict[str, tuple[str, str]]:
    (parent,) = told(item, SERVICES.get, now=NOW) or ()
    return {each["type"]: (each["status"], each["reason"]) for each in parent["conditions"]}


def test_a_route_that_is_used_says_so() -> None:
    assert verdict(route()) == {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}


@pytest.mark.parametrize(
    ("ref", "accepted", "resolved"),
    [
        ({"name": "nowhere"}, "Accepted", "BackendNotFound"),
        ({"name": "web", "port": 81}, "Accepted", "BackendNotFound"),
        ({"name": "web", "namespace": "elsewhere"}, "UnsupportedValue", "RefNotPermitted"),
        ({"name": "web", "kind": "Bucket"}, "UnsupportedValue", "InvalidKind"),
        ({"name": "web", "filters": [{"type": "URLRewrite"}]}, "UnsupportedValue", "ResolvedRefs"),
    ],
)
def test_a_backend_that_cannot_be_used_is_named(ref: dict[str, Any], accepted: str, resolved: str) -> None:
    found = verdict(route(ref))
    assert (found["Accepted"][1], found["ResolvedRefs"][1]) == (accepted, resolved)
    assert all((status == "True") == (reason in found) for status, reason in found.values())


@pytest.mark.parametrize(
    ("parent", "reason"),
    [
        ({"name": "none"}, "NoMatchingParent"),
        ({"port": 81}, "NoMatchingParent"),
        ({"namespace": "elsewhere"}, "UnsupportedValue"),
        ({"name": "pods"}, "UnsupportedValue"),
    ],
)
def test_a_parent_that_cannot_have_routes_is_named(parent: dict[str, Any], reason: str) -> None:
    assert verdict(route(parents=[PARENT | parent]))["Accepted"] == ("False", reason)


def test_what_other_controllers_say_stays_and_routes_of_gateways_are_theirs() -> None:
    found = told(route(parents=[{"name": "edge"}, PARENT], status=[THEIRS]), SERVICES.get, now=NOW)
    assert found is not None
    assert found[0] == THEIRS
    assert [each["parentRef"] for each in found[1:]] == [PARENT]
    assert told(route(parents=[{"name": "edge"}], status=[THEIRS]), SERVICES.get, now=NOW) is None


def test_what_was_said_of_a_parent_that_the_route_left_goes() -> None:
    said = told(route(), SERVICES.get, now=NOW)
    assert told(route(parents=[{"name": "edge"}], status=[THEIRS, *(said or ())]), SERVICES.get, now=NOW) == [THEIRS]


def test_nothing_is_written_twice_and_a_condition_keeps_its_time() -> None:
    said = told(route(), SERVICES.get, now=NOW)
    assert told(route(status=said), SERVICES.get, now=LATER) is None
    changed = told(route({"name": "nowhere"}, status=said, generation=2), SERVICES.get, now=LATER)
    assert changed is not None
    conditions = {each["type"]: each for each in changed[0]["conditions"]}
    assert {name: each["lastTransitionTime"] for name, each in conditions.items()} == {
        "Accepted": NOW,
        "ResolvedRefs": LATER,
    }
    assert conditions["Accepted"]["observedGeneration"] == 2
    assert changed[0]["controllerName"] == CONTROLLER


def test_a_route_that_cannot_be_read_is_left_alone() -> None:
    assert told(route() | {"spec": {"rules": "none"}}, SERVICES.get, now=NOW) is None
