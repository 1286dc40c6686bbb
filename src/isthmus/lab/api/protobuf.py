"""Request bodies in Kubernetes' protobuf encoding.

A body is the magic `k8s\\0` and a `runtime.Unknown` (1: TypeMeta, 2: the object). Answers may always be JSON.
"""

from typing import Final

from isthmus.lab.api.contracts import Object
from isthmus.lab.api.messages import KINDS
from isthmus.lab.api.status import bad_request
from isthmus.lab.api.wire import Malformed, fields, text
from isthmus.lab.api.wire import decode as decode_message

__all__ = ["KINDS", "MAGIC", "decode"]

MAGIC: Final = b"k8s\x00"


def decode(body: bytes) -> Object:
    """The object in a protobuf body; raises `ApiError` 400, also for a kind that is not in the table."""
    try:
        if not body.startswith(MAGIC):
            raise Malformed
        unknown = dict(fields(body[len(MAGIC) :]))
        meta = dict(fields(unknown[1]))
        kind = text(meta[2])
        message = KINDS.get(kind)
        if message is None:
            raise bad_request(f"{kind} is not accepted as protobuf; send it as JSON or YAML")
        return {"apiVersion": text(meta[1]), "kind": kind} | decode_message(unknown.get(2, b""), message)
    except (Malformed, KeyError, UnicodeDecodeError, OverflowError, OSError, ValueError):
        raise bad_request("the body is not a Kubernetes protobuf message") from None
