"""Selectors, conditions and hashes mean what they mean in Kubernetes."""

from datetime import UTC, datetime

from isthmus.lab.controllers import objects
from isthmus.lab.labels import selects

NOW = datetime(2026, 1, 1, 12, 0, 10, tzinfo=UTC)


def test_selectors_match_by_label_and_by_expression():
    labels = {"app": "web", "tier": "front"}
    assert selects({"matchLabels": {"app": "web"}}, labels)
    assert not selects({"matchLabels": {"app": "db"}}, labels)
    for operator, values, expected in [
        ("In", ["front", "back"], True),
        ("NotIn", ["front"], False),
        ("Exists", None, True),
        ("DoesNotExist", None, False),
    ]:
        expression = {"key": "tier", "operator": operator, "values": values}
        assert selects({"matchExpressions": [expression]}, labels) is expected


def test_a_condition_that_stays_the_same_keeps_its_times():
    first = objects.conditions_with([], {"type": "A", "status": "True", "reason": "R", "message": "m"}, "t1")
    again = objects.conditions_with(first, {"type": "A", "status": "True", "reason": "R", "message": "m"}, "t2")
    assert again == first
    reason = objects.conditions_with(first, {"type": "A", "status": "True", "reason": "S", "message": "m"}, "t2")
    assert (reason[0]["lastTransitionTime"], reason[0]["lastUpdateTime"]) == ("t1", "t2")
    turned = objects.conditions_with(first, {"type": "A", "status": "False", "reason": "R", "message": "m"}, "t2")
    assert turned[0]["lastTransitionTime"] == "t2"


def test_a_ready_pod_becomes_available_after_its_minimum_time():
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T12:00:00Z"}
    pod = {"metadata": {}, "status": {"conditions": [condition]}}
    assert objects.seconds_until_available(pod, 15, NOW) == 5
    assert objects.seconds_until_available(pod, 5, NOW) == 0
    assert objects.seconds_until_available({"metadata": {}}, 5, NOW) is None


def test_equal_templates_have_equal_hashes_whatever_the_order_of_their_fields():
    assert objects.template_hash({"a": 1, "b": {"c": 2, "d": 3}}) == objects.template_hash(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert objects.template_hash({"a": 1}) != objects.template_hash({"a": 2})


def test_a_label_can_be_added_to_a_template_and_taken_away():
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {}}
    labeled = objects.with_label(template, "hash", "x")
    assert labeled["metadata"]["labels"] == {"app": "web", "hash": "x"}
    assert objects.without_label(labeled, "hash") == template
