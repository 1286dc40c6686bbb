import pytest
from tests.envoy.harness import envoy_binary


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if envoy_binary() is None:
        for item in items:
            if item.get_closest_marker("envoy"):
                item.add_marker(pytest.mark.skip(reason="no Envoy binary: set ISTHMUS_ENVOY"))
