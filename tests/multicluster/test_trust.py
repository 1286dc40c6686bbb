"""What a control plane publishes of its own trust."""

import pytest

from isthmus.kube.meta import Meta
from isthmus.multicluster import trust
from isthmus.resources.core import ConfigMap


@pytest.mark.parametrize("data", [{}, {"trust-domain": "a"}, {"ca-bundle.crt": "PEM", "trust-domain": " "}])
def test_roots_that_are_not_complete_are_no_roots(data: dict[str, str]) -> None:
    assert trust.roots(ConfigMap(Meta(), data)) is None
    assert trust.roots(None) is None
