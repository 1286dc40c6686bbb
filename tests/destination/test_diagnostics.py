"""The page behind `linkerd diagnostics endpoints` says what a proxy would be told."""

import json
from typing import Any

import pytest
from tests.mesh import objects as make

from isthmus.destination import diagnostics
from isthmus.mesh.state import Remote, State


def asked(state: State, address: str) -> dict[str, object]:
    return json.loads(diagnostics.endpoints(state, {"address": address}))


def test_an_endpoint_is_told_with_its_pod_and_who_it_must_prove_to_be() -> None:
    state = make.state()
    make.put(state, make.service("web", "10.96.0.5", 80), make.pod("web-1", "10.244.0.7", account="web"))
    make.put(state, make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1")))
    assert asked(state, "10.96.0.5:80") == {
        "state": "known",
        "endpoints": [
            {
                "ip": "10.244.0.7",
                "port": 8080,
                "pod": "web-1",
                "identity": f"spiffe://{make.DOMAIN}/ns/shop/sa/web",
                "cluster": None,
                "priority": 0,
            }
        ],
    }


def test_a_port_that_the_service_does_not_have_is_unknown() -> None:
    state = make.state()
    make.put(state, make.service("web", "10.96.0.5", 80))
    assert asked(state, "10.96.0.5:81") == {"state": "unknown", "endpoints": []}


def test_a_standby_has_a_priority_and_one_that_was_not_heard_is_pending_beside_those_that_are_known() -> None:
    state = make.state()
    metadata = make.mirror_metadata("west", "web.shop.svc.cluster.local")
    make.put(state, make.link("west"), make.service("web-west", "10.96.0.9", 80, **metadata))
    make.put(state, make.service("web", "10.96.0.5", 80), make.endpoint_slice("web", make.endpoint("10.244.0.7")))
    state.set_split(None, make.split("web", ("web", 100), ("web-west", 0)))
    assert [told(state)["state"], rows(state)] == ["pending", [("10.244.0.7", None, 0)]]
    item = make.endpoint_slice("web", make.endpoint("10.244.0.7"))
    state.set_remote(("west", "shop", "web"), Remote((item,)))
    assert [told(state)["state"], rows(state)] == ["known", [("10.244.0.7", None, 0), ("10.244.0.7", "west", 1)]]


def told(state: State) -> dict[str, Any]:
    return asked(state, "10.96.0.5:80")


def rows(state: State) -> list[tuple[str, str | None, int]]:
    return [(each["ip"], each["cluster"], each["priority"]) for each in told(state)["endpoints"]]


def test_a_question_without_an_address_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"address=<ip>:<port>"):
        diagnostics.endpoints(make.state(), {})
