"""Fixtures for every test, and the line between unit tests and tests that start programs or servers."""

from pathlib import Path

import pytest
from tests.lab_fixture import lab
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

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
    "lab/api/test_process.py",
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
    *("e2e/test_faults.py", "e2e/test_ring.py", "e2e/test_drills.py", "e2e/test_nodes.py", "e2e/test_rotation.py"),
    *("e2e/test_viz_numbers.py", "tutorial/test_tutorial.py", "e2e/test_viz.py", "e2e/test_flat.py"),
)
"""Files that are begun first, so that no worker is left with one of them at the end."""
ON_THREE_CLUSTERS = ("e2e/test_ring.py", "e2e/test_drills.py")
"""Files that share a lab, and so a worker."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    roots = [HERE / name for name in STARTS_PROGRAMS]
    for item in items:
        if any(root == item.path or root in item.path.parents for root in roots):
            item.add_marker(pytest.mark.process)
    places = {HERE / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return _Together(config, log) if config.getvalue("dist") == "loadfile" else None


class _Together(LoadFileScheduling):
    """A worker gets whole files, and all that share a lab."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return ON_THREE_CLUSTERS[0] if file.endswith(ON_THREE_CLUSTERS) else file
