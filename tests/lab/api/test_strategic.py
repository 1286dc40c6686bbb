"""Strategic merge patches, as `kubectl apply` and `kubectl patch` send them."""

from typing import Any

import pytest

from isthmus.lab.api.contracts import ApiError
from isthmus.lab.api.listtypes import BuiltInShapes
from isthmus.lab.api.strategic import strategic_merge_patch

DEPLOYMENT = BuiltInShapes("Deployment")


def _template(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


def _containers(obj: dict[str, Any]) -> Any:
    return obj["spec"]["template"]["spec"]["containers"]


def test_containers_merge_by_name_and_keep_what_the_patch_does_not_mention() -> None:
    live = _template(containers=[{"name": "app", "image": "a:1", "args": ["x"]}, {"name": "side", "image": "s"}])
    patch = _template(containers=[{"name": "app", "image": "a:2"}, {"name": "new", "image": "n"}])
    assert _containers(strategic_merge_patch(live, patch, DEPLOYMENT)) == [
        {"name": "app", "image": "a:2", "args": ["x"]},
        {"name": "side", "image": "s"},
        {"name": "new", "image": "n"},
    ]


def test_an_item_is_deleted_by_its_directive_and_a_list_replaced_by_its() -> None:
    live = _template(containers=[{"name": "app"}, {"name": "side"}])
    deleted = strategic_merge_patch(live, _template(containers=[{"name": "side", "$patch": "delete"}]), DEPLOYMENT)
    assert _containers(deleted) == [{"name": "app"}]
    replaced = strategic_merge_patch(live, _template(containers=[{"$patch": "replace"}, {"name": "only"}]), DEPLOYMENT)
    assert _containers(replaced) == [{"name": "only"}]


def test_lists_without_a_key_are_replaced() -> None:
    live = _template(containers=[{"name": "app", "args": ["a", "b"]}])
    patch = _template(containers=[{"name": "app", "args": ["c"]}])
    assert _containers(strategic_merge_patch(live, patch, DEPLOYMENT)) == [{"name": "app", "args": ["c"]}]


def test_environment_variables_are_ordered_as_the_patch_says() -> None:
    live = _template(containers=[{"name": "app", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}])
    patch = _template(
        containers=[
            {
                "name": "app",
                "$setElementOrder/env": [{"name": "C"}, {"name": "B"}, {"name": "A"}],
                "env": [{"name": "C", "value": "3"}],
            }
        ]
    )
    merged = _containers(strategic_merge_patch(live, patch, DEPLOYMENT))
    assert [variable["name"] for variable in merged[0]["env"]] == ["C", "B", "A"]
    assert not [key for key in merged[0] if key.startswith("$")]


def test_service_ports_merge_by_port() -> None:
    live = {"spec": {"ports": [{"port": 80, "nodePort": 30080}, {"port": 443}]}}
    patch = {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}
    assert strategic_merge_patch(live, patch, BuiltInShapes("Service")) == {
        "spec": {"ports": [{"port": 80, "nodePort": 30080, "targetPort": 8080}, {"port": 443}]}
    }


def test_finalizers_are_added_and_taken_away_one_by_one() -> None:
    live = {"metadata": {"finalizers": ["a", "b"]}}
    added = strategic_merge_patch(live, {"metadata": {"finalizers": ["c"]}}, DEPLOYMENT)
    assert added["metadata"]["finalizers"] == ["a", "b", "c"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert strategic_merge_patch(live, patch, DEPLOYMENT)["metadata"]["finalizers"] == ["b"]


def test_only_the_retained_keys_survive() -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge_patch(live, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_null_removes_a_field() -> None:
    live = {"metadata": {"annotations": {"a": "1", "b": "2"}}}
    assert strategic_merge_patch(live, {"metadata": {"annotations": {"a": None}}}, DEPLOYMENT) == {
        "metadata": {"annotations": {"b": "2"}}
    }


@pytest.mark.parametrize(
    "patch",
    [
        ["not an object"],
        _template(containers=[{"image": "no name"}]),
        _template(containers=["not an object"]),
        {"spec": {"$patch": "explode"}},
        {"spec": {"$retainKeys": "type"}},
    ],
)
def test_a_patch_that_makes_no_sense_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(ApiError) as refused:
        strategic_merge_patch(_template(containers=[]), patch, DEPLOYMENT)
    assert refused.value.code == 400
