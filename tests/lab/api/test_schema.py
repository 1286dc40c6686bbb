"""Custom resources are held to their schema as a real API server does."""

import pytest

from isthmus.install import crds
from isthmus.lab.api import schema, strings

SPLIT = crds.traffic_split()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def problems(weight: object, **spec: object) -> list[str]:
    backends = [{"service": "web", "weight": weight}]
    item = {"apiVersion": "v1", "kind": "TrafficSplit", "metadata": {}}
    return [
        path for path, _ in schema.problems({**item, "spec": {"service": "web", "backends": backends, **spec}}, SPLIT)
    ]


@pytest.mark.parametrize("weight", [0, 100, "500m", "1.5", "0"])
def test_a_number_or_a_quantity_is_a_weight(weight: int | str) -> None:
    assert problems(weight) == []


@pytest.mark.parametrize("weight", ["lots", "-1", -1, 1.5, True, "", "1m\nx", 10**12])
def test_anything_else_is_named_with_its_place(weight: object) -> None:
    assert problems(weight) == ["spec.backends[0].weight"]


def test_what_a_split_needs_and_what_it_cannot_do() -> None:
    assert problems(1, backends=[]) == ["spec.backends"]
    assert problems(1, service="") == ["spec.service"]
    assert problems(1, matches=[{"kind": "HTTPRouteGroup", "name": "gets"}]) == ["spec.matches"]
    assert problems(1, matches=[]) == []


def test_a_pattern_cannot_hold_up_the_server():
    (why,) = strings.problems("a" * 40 + "!", {"pattern": "^(a+)+$"})
    assert "takes too long to match" in why
    assert not list(strings.problems("a" * 40, {"pattern": "^(a+)+$"}))
