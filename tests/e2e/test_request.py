"""The first request between two clusters: who met whom."""

import json

import pytest
from tests.lab_fixture import EAST, WEST

pytestmark = pytest.mark.lab


def test_the_backend_sees_the_frontends_own_identity_not_the_gateways(mesh):
    answer = json.loads(mesh.exec(WEST, "deploy/frontend", "curl", "-sS", "http://backend-cluster-east:8080/health"))
    west = mesh.get(WEST, "cm", "-n", "linkerd", "linkerd-identity-trust-roots")["data"]["trust-domain"]
    east = mesh.get(EAST, "cm", "-n", "linkerd", "linkerd-identity-trust-roots")["data"]["trust-domain"]
    assert west != east
    assert answer["client_id"] == f"spiffe://{west}/ns/default/sa/frontend"
