"""Installing over an installation: what it takes back is said before it is applied."""

import pytest
import yaml

from isthmus.cli.values_changed import changed_values
from isthmus.install.certificates import fresh
from isthmus.install.values import InstallValues

VALUES = InstallValues(certificates=fresh(cluster_domain="cluster.local")).public()


def test_the_same_values_again_change_nothing() -> None:
    assert changed_values({"data": {"values": yaml.safe_dump(VALUES)}}, VALUES) == []


def test_each_value_that_is_not_given_again_is_named_with_what_it_was_and_what_it_becomes() -> None:
    before = VALUES | {"controllerReplicas": 3, "priorityClassName": "high", "imagePullSecrets": ["mine"]}
    assert changed_values({"data": {"values": yaml.safe_dump(before)}}, VALUES) == [
        "controllerReplicas: 3 -> 1",
        'imagePullSecrets: ["mine"] -> []',
        'priorityClassName: high -> ""',
    ]


@pytest.mark.parametrize("text", ["", "a: [", "text"])
def test_values_that_cannot_be_read_are_no_reason_not_to_install(text: str) -> None:
    assert changed_values({"data": {"values": text}}, VALUES) == []
    assert changed_values({}, VALUES) == []
