"""A reader, the tutorial, and two clusters with nothing in them."""

import os
from collections.abc import Iterator

import pytest
from tests.lab_fixture import Lab, start
from tests.tutorial.reader import Reader
from tests.tutorial.reading import GIVEN, tutorial


@pytest.fixture(scope="module")
def text() -> str:
    """The tutorial's text. Where the project is tested for everyone, its absence is a failure."""
    if tutorial().exists():
        return tutorial().read_text()
    missing = f"there is no tutorial at {tutorial()}; ${GIVEN} names another file"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="module")
def reader(text: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Begins on page one, with empty clusters of its own."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    path = tmp_path_factory.mktemp("tutorial") / "lab"
    try:
        yield Reader(text, path.parent, start(path))
    finally:
        Lab(path, dict(os.environ)).isthmus("lab", "down", check=False)
