"""The page behind `linkerd diagnostics endpoints` says what a proxy would be told."""

import json

import pytest
from tests.mesh import objects as make

from isthmus.destination import diagnostics
from isthmus.mesh.state import State


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


def test_a_question_without_an_address_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"address=<ip>:<port>"):
        diagnostics.endpoints(make.state(), {})
