"""Delta discovery responses put together from bytes that all streams share.

In protobuf, messages that are concatenated are merged and repeated fields append. A response is therefore the bytes of
its resources, each serialized once, followed by the few bytes that belong to one stream.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2

from isthmus.envoy.resources import TYPE_URL_PREFIX, Encoded

CLUSTER: Final = TYPE_URL_PREFIX + cluster_pb2.Cluster.DESCRIPTOR.full_name
ENDPOINTS: Final = TYPE_URL_PREFIX + endpoint_pb2.ClusterLoadAssignment.DESCRIPTOR.full_name
LISTENER: Final = TYPE_URL_PREFIX + listener_pb2.Listener.DESCRIPTOR.full_name
SECRET: Final = TYPE_URL_PREFIX + secret_pb2.Secret.DESCRIPTOR.full_name

EXTENSION: Final = TYPE_URL_PREFIX + extension_pb2.TypedExtensionConfig.DESCRIPTOR.full_name

ORDER: Final = (SECRET, EXTENSION, CLUSTER, ENDPOINTS, LISTENER)
"""Make before break: what others refer to goes first."""


@dataclass(frozen=True, slots=True)
class Served:
    """One resource as a piece of a response."""

    name: str
    type_url: str
    version: str
    piece: bytes
    provisional: bool = False
    """For proxies that know nothing better."""


def serve(encoded: Encoded, *, provisional: bool = False) -> Served:
    resource = discovery_pb2.Resource(
        name=encoded.name,
        version=encoded.version,
        resource=any_pb2.Any(type_url=encoded.type_url, value=encoded.body),
    )
    piece = discovery_pb2.DeltaDiscoveryResponse(resources=[resource]).SerializeToString()
    return Served(encoded.name, encoded.type_url, encoded.version, piece, provisional)


def response(type_url: str, nonce: str, resources: Iterable[Served], removed: Iterable[str]) -> bytes:
    tail = discovery_pb2.DeltaDiscoveryResponse(type_url=type_url, nonce=nonce, removed_resources=removed)
    return b"".join([*(each.piece for each in resources), tail.SerializeToString()])


def request(body: bytes) -> Any:
    """A `DeltaDiscoveryRequest`; raises `google.protobuf.message.DecodeError`."""
    return discovery_pb2.DeltaDiscoveryRequest.FromString(body)
