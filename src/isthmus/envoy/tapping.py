"""A feed of single requests, for as long as somebody reads it.

The filter does nothing until a program in the pod asks Envoy's admin interface for requests (`proxy.tap`), and again
nothing when that connection ends. Bodies are never part of it.
"""

from typing import Any

from envoy.extensions.common.tap.v3 import common_pb2
from envoy.extensions.filters.http.tap.v3 import tap_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from isthmus.envoy import wire
from isthmus.envoy.bootstrap import TAP


def http_filter() -> Any:
    """Stands next to the router, so that requests are seen as they go out."""
    return wire.extension(
        http_connection_manager_pb2.HttpFilter,
        "envoy.filters.http.tap",
        tap_pb2.Tap(
            common_config=common_pb2.CommonExtensionConfig(admin_config=common_pb2.AdminConfig(config_id=TAP)),
            record_headers_received_time=True,
            record_downstream_connection=True,
            record_upstream_connection=True,
        ),
    )
