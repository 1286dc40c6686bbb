"""Whether the suite ran against a real API server here."""

import pytest
from tests.conformance import servers


def test_a_real_api_server_was_asked_the_same() -> None:
    """Set KUBEBUILDER_ASSETS, and every test of this folder runs against what is there as well."""
    if servers.assets() is None:
        pytest.skip(f"only against the lab: {servers.ASSETS} names no folder with {' and '.join(servers.PROGRAMS)}")
    assert "kubernetes" in servers.names()
