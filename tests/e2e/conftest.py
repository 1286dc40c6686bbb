"""The tutorial's two clusters, as `isthmus demo` leaves them: installed, linked, backend in east, frontend in west."""

import os
from collections.abc import Iterator

import pytest

from tests.lab_fixture import Lab


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of its own, shared by the whole session: a test leaves it as it found it."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    path = tmp_path_factory.mktemp("mesh") / "lab"
    lab = Lab(path, dict(os.environ))
    try:
        lab.demo()
        yield lab
    finally:
        lab.isthmus("lab", "down", check=False)
