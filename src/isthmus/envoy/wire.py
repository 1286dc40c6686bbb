"""The few protobuf idioms that every builder needs."""

from typing import Any

from envoy.config.core.v3 import address_pb2, config_source_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from isthmus.mesh.model import Address


def pack(message: Message) -> AnyMessage:
    """Wrap deterministically: resources are compared by their bytes."""
    packed = AnyMessage()
    packed.Pack(message, deterministic=True)
    return packed


def extension(kind: Any, name: str, message: Message) -> Any:
    """A named, typed extension of protobuf class `kind`: a filter, a transport socket, an extension config."""
    return kind(name=name, typed_config=pack(message))


def seconds(value: float) -> Duration:
    nanoseconds = round(value * 1_000_000_000)
    return Duration(seconds=nanoseconds // 1_000_000_000, nanos=nanoseconds % 1_000_000_000)


def uint32(value: int) -> UInt32Value:
    return UInt32Value(value=value)


def boolean(value: bool) -> BoolValue:
    return BoolValue(value=value)


def ads() -> Any:
    return config_source_pb2.ConfigSource(ads=config_source_pb2.AggregatedConfigSource(), resource_api_version="V3")


def socket_address(address: Address) -> Any:
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=address.host, port_value=address.port))
