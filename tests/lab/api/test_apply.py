"""Server-side apply: owners, conflicts, and fields that go when their owner lets go."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.lab.api import apply
from isthmus.lab.api.apply import Managers, Owner
from isthmus.lab.api.contracts import ApiError
from isthmus.lab.api.listtypes import BuiltInShapes, SchemaShapes, Shapes

SERVICE = BuiltInShapes("Service")
DEPLOYMENT = BuiltInShapes("Deployment")
ALICE, BOB = Owner("alice", "Apply"), Owner("bob", "Apply")


def _apply(
    live: Any, config: Any, managers: Managers, owner: Owner, *, force: bool = False, shapes: Shapes = SERVICE
) -> tuple[Any, Managers]:
    return apply.applied(live, config, managers, owner, force=force, api_version="v1", shapes=shapes)


def _labels(**labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "x", "labels": labels}}


def test_a_field_that_is_no_longer_applied_goes_away_and_others_stay() -> None:
    live, managers = _apply({"metadata": {"name": "x"}}, _labels(a="1", b="2"), {}, ALICE)
    live["metadata"]["labels"]["other"] = "3"
    live, managers = _apply(live, _labels(a="1"), managers, ALICE)
    assert live["metadata"]["labels"] == {"a": "1", "other": "3"}
    assert managers[ALICE].fields == {("f:metadata", "f:labels", "f:a")}


def test_a_map_that_loses_its_last_owned_field_goes_too() -> None:
    live, managers = _apply({"metadata": {"name": "x"}}, _labels(a="1"), {}, ALICE)
    live, _ = _apply(live, {"metadata": {"name": "x"}}, managers, ALICE)
    assert live == {"metadata": {"name": "x"}}


def test_a_field_two_managers_agree_on_survives_until_both_let_go() -> None:
    live, managers = _apply({"metadata": {"name": "x"}}, _labels(a="1"), {}, ALICE)
    live, managers = _apply(live, _labels(a="1"), managers, BOB)
    live, managers = _apply(live, _labels(), managers, ALICE)
    assert live["metadata"]["labels"] == {"a": "1"}
    live, managers = _apply(live, {"metadata": {"name": "x"}}, managers, BOB)
    assert "a" not in live["metadata"].get("labels", {})


def test_changing_a_field_of_somebody_else_conflicts_unless_forced() -> None:
    live, managers = _apply({"metadata": {"name": "x"}}, _labels(a="1"), {}, ALICE)
    with pytest.raises(ApiError) as refused:
        _apply(live, _labels(a="2"), managers, BOB)
    assert refused.value.code == 409
    assert refused.value.message == 'Apply failed with 1 conflict: conflict with "alice": .metadata.labels.a'
    live, managers = _apply(live, _labels(a="2"), managers, BOB, force=True)
    assert live["metadata"]["labels"] == {"a": "2"}
    assert ALICE not in managers


def test_items_of_keyed_lists_have_owners_of_their_own() -> None:
    first = {"spec": {"ports": [{"port": 80, "name": "http"}]}}
    second = {"spec": {"ports": [{"port": 443, "name": "https"}]}}
    live, managers = _apply({}, first, {}, ALICE)
    live, managers = _apply(live, second, managers, BOB)
    assert [port["port"] for port in live["spec"]["ports"]] == [80, 443]
    live, managers = _apply(live, {"spec": {}}, managers, BOB)
    assert live["spec"]["ports"] == [{"port": 80, "name": "http"}]


def test_a_default_in_a_key_identifies_the_item_that_leaves_it_out() -> None:
    live = {"spec": {"ports": [{"port": 80, "protocol": "TCP", "nodePort": 30000}]}}
    merged, _ = _apply(live, {"spec": {"ports": [{"port": 80, "name": "http"}]}}, {}, ALICE)
    assert merged["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "nodePort": 30000, "name": "http"}]


def test_a_selector_is_owned_as_a_whole() -> None:
    live, managers = _apply({}, {"spec": {"selector": {"a": "1"}}}, {}, ALICE)
    with pytest.raises(ApiError):
        _apply(live, {"spec": {"selector": {"b": "1"}}}, managers, BOB)
    live, _ = _apply(live, {"spec": {"selector": {"b": "1"}}}, managers, ALICE)
    assert live["spec"]["selector"] == {"b": "1"}


def test_an_update_takes_over_what_it_changes_and_nothing_else() -> None:
    live, managers = _apply({"metadata": {"name": "x"}}, _labels(a="1", b="2"), {}, ALICE)
    editor = Owner("edit", "Update")
    managers = apply.updated(managers, live, _labels(a="9", b="2"), editor, api_version="v1", shapes=SERVICE)
    assert managers[editor].fields == {("f:metadata", "f:labels", "f:a")}
    assert managers[ALICE].fields == {("f:metadata", "f:labels", "f:b")}
    with pytest.raises(ApiError) as refused:
        _apply(_labels(a="9", b="2"), _labels(a="1", b="2"), managers, ALICE)
    assert 'conflict with "edit" using v1: .metadata.labels.a' in refused.value.message


def test_a_removed_field_is_nobodys() -> None:
    live, managers = _apply({"metadata": {"name": "x"}}, _labels(a="1", b="2"), {}, ALICE)
    editor = Owner("edit", "Update")
    managers = apply.updated(managers, live, _labels(a="1"), editor, api_version="v1", shapes=SERVICE)
    assert managers == {ALICE: managers[ALICE]}
    assert managers[ALICE].fields == {("f:metadata", "f:labels", "f:a")}


def test_applying_the_same_again_changes_nothing_not_even_the_time() -> None:
    config = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "a"}]}}}}
    live, managers = _apply({}, config, {}, ALICE, shapes=DEPLOYMENT)
    managers = {ALICE: apply.Entry("v1", "2020-01-01T00:00:00Z", managers[ALICE].fields)}
    assert _apply(live, config, managers, ALICE, shapes=DEPLOYMENT) == (live, managers)


def test_a_custom_resource_merges_lists_as_its_schema_says() -> None:
    item = {"type": "object", "properties": {"type": {"type": "string"}}}
    conditions = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": item,
    }
    shapes = SchemaShapes({"type": "object", "properties": {"keyed": conditions, "plain": {"type": "array"}}})
    live = {"keyed": [{"type": "A"}], "plain": [1]}
    merged, _ = _apply(live, {"keyed": [{"type": "B"}], "plain": [2]}, {}, ALICE, shapes=shapes)
    assert merged == {"keyed": [{"type": "A"}, {"type": "B"}], "plain": [2]}


CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(["ClusterIP", "NodePort"]),
                "selector": st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"), max_size=2),
                "ports": st.lists(
                    st.fixed_dictionaries({"port": st.integers(1, 3)}, optional={"name": st.sampled_from("xy")}),
                    max_size=3,
                    unique_by=lambda port: port["port"],
                ),
            },
        )
    },
)


@given(configs=st.lists(CONFIGS, min_size=1, max_size=5))
def test_a_single_manager_ends_up_with_exactly_its_last_configuration(configs: list[Any]) -> None:
    live: Any = {"metadata": {"name": "x"}}
    managers: Managers = {}
    for config in configs:
        live, managers = _apply(live, {"metadata": {"name": "x"}} | config, managers, ALICE)
        managers = apply.read(apply.write(managers))
    wanted = apply.fields_of(configs[-1], SERVICE)
    assert apply.fields_of(live, SERVICE) == wanted


@given(config=CONFIGS)
def test_managed_fields_survive_being_written_and_read(config: Any) -> None:
    fields = apply.fields_of(config, SERVICE)
    assert apply.decode(apply.encode(fields)) == fields
