"""What an HTTPRoute does to where the requests of a Service go, and which routes are not used, and why."""

from typing import Any

import msgspec
import pytest
from tests.mesh import objects as make
from tests.mesh.test_splits import DOMAIN, WEST, resolved, west_is_heard

from isthmus import names
from isthmus.mesh import routes
from isthmus.mesh.model import SPILL_BELOW
from isthmus.mesh.state import State
from isthmus.resources.routes import HTTPRoute

KIND = "gateway.networking.k8s.io/v1"
EVERYTHING = [{"path": {"type": "PathPrefix", "value": "/"}}]
"""What the API server writes into a rule that says nothing."""


def backend(name: str, weight: int | None = 1, port: int | None = 80, **more: Any) -> dict[str, Any]:
    return {"group": "", "kind": "Service", "name": name, "port": port, "weight": weight, **more}


def route(
    *backends: dict[str, Any], parent: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **metadata: Any
) -> HTTPRoute:
    refs = [{"group": "", "kind": "Service", "name": "web", **(parent or {})}]
    rules = [{"matches": EVERYTHING, "backendRefs": list(backends)}]
    given = {"name": "web", "namespace": "shop", **metadata}
    return msgspec.convert({"metadata": given, "spec": {"parentRefs": refs, "rules": rules, **(spec or {})}}, HTTPRoute)


@pytest.fixture
def state() -> State:
    """`web` and its mirror `web-west`, of which each has one pod, and `idle`, which has none."""
    made = make.state()
    metadata = make.mirror_metadata("west", "web.shop.svc.cluster.local")
    make.put(made, make.link("west", trust_domain=DOMAIN), make.service("web-west", "10.96.0.9", 80, **metadata))
    make.put(made, make.service("web", "10.96.0.5", 80, ("admin", 90)), make.pod("web-1", "10.244.0.7"))
    make.put(made, make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1")))
    make.put(made, make.service("idle", "10.96.0.6", 80))
    west_is_heard(made)
    return made


def groups(state: State) -> list[list[tuple[str | None, int]]]:
    return [[(each.gateway, each.weight) for each in group] for group in resolved(state).priorities]


def test_backends_share_the_traffic_by_weight_and_a_weight_of_0_is_no_traffic(state: State) -> None:
    state.set_route(KIND, None, route(backend("web", 3), backend("web-west", 1), backend("idle", 0)))
    found = resolved(state)
    assert groups(state) == [[(None, 3), ("west", 1)]]
    assert found.shared
    assert found.service.name == "web", "the name that the client called stays"


def test_a_weight_of_0_is_no_standby(state: State) -> None:
    state.set_route(KIND, None, route(backend("idle", 1), backend("web-west", 0)))
    assert groups(state) == [[]]


def test_the_share_of_a_backend_that_has_nobody_goes_to_the_others(state: State) -> None:
    state.set_route(KIND, None, route(backend("idle", 90), backend("nowhere", 9), backend("web-west", 1)))
    assert groups(state) == [[("west", 1)]]


@pytest.mark.parametrize("weights", [(1, 0), (0, 1), (1, 1), (None, None)])
def test_the_annotation_says_who_is_first_and_the_others_stand_by(state: State, weights: tuple[int, int]) -> None:
    annotations = {names.PRIMARY_ANNOTATION: "web-west"}
    state.set_route(
        KIND, None, route(backend("web", weights[0]), backend("web-west", weights[1]), annotations=annotations)
    )
    assert groups(state) == [[("west", 1)], [(None, 1)]]


def test_the_annotation_says_the_same_on_a_split(state: State) -> None:
    annotations = {names.PRIMARY_ANNOTATION: "web-west"}
    state.set_split(None, make.split("web", ("idle", 5), ("web", 5), ("web-west", 0), annotations=annotations))
    assert groups(state) == [[("west", 1)], [], [(None, 1)]]


def test_a_split_whose_primary_is_no_backend_is_shared_by_its_weights(state: State) -> None:
    annotations = {names.PRIMARY_ANNOTATION: "nobody"}
    state.set_split(None, make.split("web", ("web", 5), ("web-west", 0), annotations=annotations))
    assert groups(state) == [[(None, 1)], [("west", 1)]]


@pytest.mark.parametrize(
    ("said", "percent"), [("80", 80), ("80%", 80), ("0", 0), ("101", SPILL_BELOW), ("x", SPILL_BELOW)]
)
def test_how_many_must_be_ready_can_be_said(state: State, said: str, percent: int) -> None:
    annotations = {names.SPILL_BELOW_ANNOTATION: said}
    state.set_split(None, make.split("web", ("web", 1), ("web-west", 0), annotations=annotations))
    assert resolved(state).spill_below == percent


def test_a_route_counts_from_when_it_is_there_until_it_is_gone_and_before_a_split(state: State) -> None:
    state.set_split(None, make.split("web", ("web", 1)))
    _, topics = state.trace(lambda: resolved(state))
    state.take_changed()
    put = route(backend("web-west"))
    state.set_route(KIND, None, put)
    assert state.take_changed() & topics
    assert groups(state) == [[("west", 1)]]
    state.set_route(KIND, put, None)
    assert groups(state) == [[(None, 1)]]


def test_routes_of_two_api_groups_may_have_the_same_name(state: State) -> None:
    ours, linkerds = route(backend("web-west")), route(backend("web"), creationTimestamp="2026-01-01T00:00:00Z")
    state.set_route(KIND, None, ours)
    state.set_route("policy.linkerd.io/v1beta3", None, linkerds)
    state.set_route(KIND, ours, None)
    assert groups(state) == [[(None, 1)]]


def test_a_route_may_be_for_one_port_and_name_the_ports_of_its_backends(state: State) -> None:
    make.put(state, make.service("other", "10.96.0.11", 8000))
    make.put(state, make.endpoint_slice("other", make.endpoint("10.244.0.8"), port=1))
    state.set_route(KIND, None, route(backend("other", port=8000), parent={"port": 90}))
    assert groups(state) == [[(None, 1)]]
    assert [each.address.port for each in resolved(state, "outbound/10.96.0.5:90").endpoints] == [1]


def test_a_route_without_backends_leaves_the_service_as_it_is(state: State) -> None:
    state.set_route(KIND, None, route())
    assert groups(state) == [[(None, 1)]]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"hostnames": ["web"]}, "hostnames"),
        ({"rules": [{"backendRefs": [backend("web-west")]}] * 2}, "2 rules"),
        ({"rules": [{"matches": [{"method": "GET"}], "backendRefs": [backend("web-west")]}]}, "matches"),
        ({"rules": [{"matches": [{"path": {"type": "Exact", "value": "/"}}]}]}, "matches"),
        ({"rules": [{"filters": [{"type": "RequestMirror"}], "backendRefs": [backend("web-west")]}]}, "filters"),
        ({"rules": [{"backendRefs": [backend("web-west", filters=[{"type": "URLRewrite"}])]}]}, "filters"),
        ({"rules": [{"timeouts": {"request": "1s"}, "backendRefs": [backend("web-west")]}]}, "timeouts"),
        ({"rules": [{"backendRefs": [backend("web-west", namespace="elsewhere")]}]}, "namespace elsewhere"),
        ({"rules": [{"backendRefs": [backend("web-west", kind="Bucket")]}]}, "Bucket"),
    ],
)
def test_a_route_that_cannot_be_done_as_a_whole_is_not_used_at_all(state: State, spec: Any, words: str) -> None:
    asked = route(spec=spec)
    state.set_route(KIND, None, asked)
    assert groups(state) == [[(None, 1)]]
    assert any(words in problem.message for problem in routes.problems(asked))


def test_a_primary_that_is_no_backend_makes_a_route_unusable() -> None:
    (problem,) = routes.problems(route(backend("web"), annotations={names.PRIMARY_ANNOTATION: "wbe"}))
    assert "wbe" in problem.message


@pytest.mark.parametrize(
    "parent",
    [{"namespace": "elsewhere"}, {"sectionName": "http"}, {"port": 81}, {"name": "none"}, {"kind": "Gateway"}],
)
def test_a_route_whose_parent_is_not_this_service_changes_nothing(state: State, parent: dict[str, Any]) -> None:
    state.set_route(KIND, None, route(backend("web-west"), parent=parent))
    assert groups(state) == [[(None, 1)]]


def test_the_linked_cluster_of_a_backend_is_followed_from_the_first_call_on(state: State) -> None:
    state.set_route(KIND, None, route(backend("web"), backend("web-west")))
    _, topics = state.trace(lambda: resolved(state))
    assert ("remote", *WEST) in topics
