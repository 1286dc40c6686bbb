"""Fixtures for every test, and the line between unit tests and tests that start programs or servers."""

from pathlib import Path

import pytest
from tests.lab_fixture import lab

__all__ = ["lab"]

HERE = Path(__file__).parent
STARTS_PROGRAMS = (
    "cli/test_completion.py",
    "cli/test_multicluster.py",
    "conformance",
    "envoy",
    "identity/test_certify.py",
    "lab/api/test_admission.py",
    "lab/api/test_histories.py",
    "lab/api/test_hostile.py",
    "lab/api/test_kubectl.py",
    "lab/api/test_malformed.py",
    "lab/api/test_server.py",
    "lab/api/test_streaming.py",
    "lab/controllers",
    "lab/node/test_streams.py",
    "lab/test_break.py",
    "lab/test_forks.py",
    "lab/test_rootless.py",
    "multicluster/test_controller.py",
    "multicluster/test_shared_anchors.py",
    "multicluster/test_told.py",
    "multicluster/test_modes.py",
    "multicluster/test_renewal.py",
    "packaging/test_charts.py",
    "proxy/test_agent.py",
    "viz/test_page.py",
    "viz/test_page_server.py",
    "viz/test_scrape.py",
)
"""Folders and files whose tests run real kubectl, Envoy, openssl or API servers: `process`, not unit tests."""


LONGEST = (
    "test_faults",
    "ring",
    "test_nodes",
    "test_rotation",
    "test_viz_numbers",
    "test_tutorial",
    "test_viz",
    "test_flat",
)
"""Groups of lab tests that are begun first, so that no worker is left with one of them at the end."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    roots = [HERE / name for name in STARTS_PROGRAMS]
    for item in items:
        if any(root == item.path or root in item.path.parents for root in roots):
            item.add_marker(pytest.mark.process)
        if item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=_turn)


def _group(item: pytest.Item) -> str:
    """Tests that one worker runs one after another: those of a file, and all that share three clusters."""
    return "ring" if "ring" in getattr(item, "fixturenames", ()) else item.path.stem


def _turn(item: pytest.Item) -> int:
    group = _group(item)
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)
