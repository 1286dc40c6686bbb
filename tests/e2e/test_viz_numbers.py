"""What was sent is what the tables say: in every protocol, through a gateway and to a federated service."""

from collections.abc import Iterator

import pytest
from tests.e2e import numbers
from tests.lab_fixture import EAST, Lab

from isthmus import names

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def counted(mesh: Lab) -> Iterator[Lab]:
    with numbers.viz(mesh), numbers.servers(mesh, **{names.EXPORTED: "true", names.FEDERATED: "member"}):
        yield mesh


def test_through_a_gateway(counted: Lab) -> None:
    numbers.require_exact(counted, f"-{EAST}")


def test_of_a_federated_service(counted: Lab) -> None:
    numbers.require_exact(counted, "-federated")
