"""From a resource to the bytes that go on the wire, made once and shared by every stream."""

import hashlib
from dataclasses import dataclass

from google.protobuf.message import Message

TYPE_URL_PREFIX = "type.googleapis.com/"


@dataclass(frozen=True, slots=True)
class Encoded:
    """One xDS resource, ready to be sent: `body` is the value of the `Any` whose type is `type_url`."""

    name: str
    type_url: str
    version: str
    body: bytes


def encode(message: Message) -> Encoded:
    """Serialize deterministically; the version is a hash of the content, so equal resources have equal versions."""
    body = message.SerializeToString(deterministic=True)
    return Encoded(
        name=_name(message),
        type_url=TYPE_URL_PREFIX + message.DESCRIPTOR.full_name,
        version=hashlib.sha256(body).hexdigest()[:16],
        body=body,
    )


def _name(message: Message) -> str:
    """Endpoints are named by their cluster, everything else by itself."""
    field = "cluster_name" if "cluster_name" in message.DESCRIPTOR.fields_by_name else "name"
    return str(getattr(message, field))
