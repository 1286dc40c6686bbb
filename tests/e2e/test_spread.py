"""Every remote pod is an endpoint: one connection's requests go to all of them."""

import pytest
from tests.e2e.loading import load
from tests.lab_fixture import EAST, Lab

pytestmark = pytest.mark.lab

REQUESTS = 3000
MOST_UNEVEN = 1.2


def test_requests_of_one_connection_spread_evenly_over_remote_pods(mesh: Lab) -> None:
    pods = {pod["metadata"]["name"] for pod in mesh.get(EAST, "pods", "-l", "app=backend")}
    with load(mesh, "backend-cluster-east", connections=1, requests=REQUESTS) as running:
        result = running.finish()
    print(result)
    counts = result["pods"]
    uneven = max(counts.values()) / min(counts.values())
    print(f"{result['requests']} requests over {result['connections']} connection: max/min {uneven:.2f}")
    assert result["failed"] == 0
    assert result["connections"] == 1
    assert set(counts) == pods
    assert len(pods) == 3
    assert uneven <= MOST_UNEVEN
