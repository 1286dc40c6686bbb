"""The tutorial's clusters as `isthmus demo` leaves them: backend in east, frontend in west. And other labs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e import ring as three
from tests.lab_fixture import EAST, Lab, environment_of, start


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of its own, shared by the whole session: a test leaves it as it found it.

    $ISTHMUS_TEST_LAB names one that runs already, for a quick look at a test that is being written.
    """
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    if given := os.environ.get("ISTHMUS_TEST_LAB"):
        yield Lab(Path(given), dict(os.environ) | environment_of(Path(given)))
        return
    path = tmp_path_factory.mktemp("mesh") / "lab"
    lab = Lab(path, dict(os.environ))
    try:
        lab.demo()
        yield lab
    finally:
        lab.isthmus("lab", "down", check=False)


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three clusters without links, for the session; a test says which links it wants. $ISTHMUS_TEST_RING as above."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    if given := os.environ.get("ISTHMUS_TEST_RING"):
        yield Lab(Path(given), dict(os.environ) | environment_of(Path(given)))
        return
    path = tmp_path_factory.mktemp("ring") / "lab"
    try:
        lab = start(path, clusters=",".join(three.CLUSTERS))
        three.prepare(lab)
        yield lab
    finally:
        Lab(path, dict(os.environ)).isthmus("lab", "down", check=False)


@pytest.hookimpl(trylast=True)  # after what the test itself puts back
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Thirty pods that nobody asks anything any more still take their part of the processor: end the three clusters."""
    here, further = (getattr(each, "fixturenames", ()) for each in (item, nextitem))
    if "ring" in here and "ring" not in further and "ISTHMUS_TEST_RING" not in os.environ:
        lab: Lab | None = getattr(item, "funcargs", {}).get("ring")
        if lab is not None:
            lab.isthmus("lab", "down", check=False)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The demo on clusters of three nodes; in east two backends, and control plane and gateways with `--ha`."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    lab = Lab(tmp_path_factory.mktemp("nodes") / "lab", dict(os.environ))
    try:
        lab.isthmus("lab", "up", "--nodes", "3")
        lab.demo()
        lab.kubectl(EAST, "scale", "deploy/backend", "--replicas", "2")
        lab.apply(EAST, lab.linkerd(EAST, "install", "--ha"), lab.linkerd(EAST, "multicluster", "install", "--ha"))
        three.rollout(lab, EAST, "linkerd-destination", namespace="linkerd")
        three.rollout(lab, EAST, "linkerd-gateway", namespace="linkerd-multicluster")
        three.rollout(lab, EAST, "backend")
        yield lab
    finally:
        lab.isthmus("lab", "down", check=False)
