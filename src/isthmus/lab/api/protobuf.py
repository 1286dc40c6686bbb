"""Request bodies in Kubernetes' protobuf encoding, for the kinds kubectl insists on sending that way.

A body is the magic `k8s\\0` and a `runtime.Unknown` (1: TypeMeta, 2: the object). Messages are described by tables:
field number -> (JSON name, type). A field that is not in its table may be empty, but nothing said is dropped silently.
Answers may always be JSON.
"""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from isthmus.lab.api.contracts import Object
from isthmus.lab.api.status import bad_request

MAGIC: Final = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Malformed(Exception):
    """Bytes that are not protobuf."""


@dataclass(frozen=True)
class Many:
    """A repeated field."""

    of: "Type"


@dataclass(frozen=True)
class MapOf:
    """map<string, X>."""

    of: "Type"


Message = dict[int, tuple[str, "Type"]]
Scalar = Callable[[Any], Any]
Type = Message | Many | MapOf | Scalar


def text(value: Any) -> str:
    if not isinstance(value, bytes):
        raise Malformed
    return value.decode()


def number(value: Any) -> int:
    if not isinstance(value, int):
        raise Malformed
    return value - (1 << 64) if value >= 1 << 63 else value


def truth(value: Any) -> bool:
    return bool(value)


def plain_number(value: Any) -> int | None:
    """A field that Go writes even when it is zero."""
    return number(value) or None


def plain_truth(value: Any) -> bool | None:
    """A field that Go writes even when it is false."""
    return True if value else None


def blob(value: Any) -> str:
    if not isinstance(value, bytes):
        raise Malformed
    return base64.b64encode(value).decode()


def time(value: Any) -> str | None:
    seconds = dict(_fields(value)).get(1)
    if not isinstance(seconds, int):
        return None
    return datetime.fromtimestamp(number(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def int_or_string(value: Any) -> int | str | None:
    parts = dict(_fields(value))
    found = parts.get(3, b"") if parts.get(1) else parts.get(2, 0)
    return (text(found) if isinstance(found, bytes) else number(found)) or None


_OWNER: Final[Message] = {
    5: ("apiVersion", text),
    1: ("kind", text),
    3: ("name", text),
    4: ("uid", text),
    6: ("controller", truth),
    7: ("blockOwnerDeletion", truth),
}
_META: Final[Message] = {
    1: ("name", text),
    2: ("generateName", text),
    3: ("namespace", text),
    5: ("uid", text),
    6: ("resourceVersion", text),
    11: ("labels", MapOf(text)),
    12: ("annotations", MapOf(text)),
    13: ("ownerReferences", Many(_OWNER)),
    14: ("finalizers", Many(text)),
}
_RESOURCE_ATTRIBUTES: Final[Message] = {
    1: ("namespace", text),
    2: ("verb", text),
    3: ("group", text),
    4: ("version", text),
    5: ("resource", text),
    6: ("subresource", text),
    7: ("name", text),
}
_NON_RESOURCE: Final[Message] = {1: ("path", text), 2: ("verb", text)}
_LOCAL: Final[Message] = {1: ("name", text)}
_REFERENCE: Final[Message] = {1: ("kind", text), 2: ("namespace", text), 3: ("name", text), 4: ("uid", text)}
_RULE: Final[Message] = {
    1: ("verbs", Many(text)),
    2: ("apiGroups", Many(text)),
    3: ("resources", Many(text)),
    4: ("resourceNames", Many(text)),
    5: ("nonResourceURLs", Many(text)),
}
_SUBJECT: Final[Message] = {1: ("kind", text), 2: ("apiGroup", text), 3: ("name", text), 4: ("namespace", text)}
_SELECTOR: Final[Message] = {
    1: ("matchLabels", MapOf(text)),
    2: ("matchExpressions", Many({1: ("key", text), 2: ("operator", text), 3: ("values", Many(text))})),
}
_CONTAINER_PORT: Final[Message] = {
    1: ("name", text),
    2: ("hostPort", plain_number),
    3: ("containerPort", number),
    4: ("protocol", text),
    5: ("hostIP", text),
}
_CONTAINER: Final[Message] = {
    1: ("name", text),
    2: ("image", text),
    3: ("command", Many(text)),
    4: ("args", Many(text)),
    5: ("workingDir", text),
    6: ("ports", Many(_CONTAINER_PORT)),
    7: ("env", Many({1: ("name", text), 2: ("value", text)})),
    14: ("imagePullPolicy", text),
    16: ("stdin", plain_truth),
    17: ("stdinOnce", plain_truth),
    18: ("tty", plain_truth),
}
_POD_SPEC: Final[Message] = {
    2: ("containers", Many(_CONTAINER)),
    3: ("restartPolicy", text),
    4: ("terminationGracePeriodSeconds", number),
    6: ("dnsPolicy", text),
    8: ("serviceAccountName", text),
    9: ("serviceAccount", text),
    10: ("nodeName", text),
    19: ("schedulerName", text),
    20: ("initContainers", Many(_CONTAINER)),
}
_TEMPLATE: Final[Message] = {1: ("metadata", _META), 2: ("spec", _POD_SPEC)}
_SERVICE_PORT: Final[Message] = {
    1: ("name", text),
    2: ("protocol", text),
    3: ("port", number),
    4: ("targetPort", int_or_string),
    5: ("nodePort", plain_number),
    6: ("appProtocol", text),
}
_ROLE: Final[Message] = {1: ("metadata", _META), 2: ("rules", Many(_RULE))}
_BINDING: Final[Message] = {
    1: ("metadata", _META),
    2: ("subjects", Many(_SUBJECT)),
    3: ("roleRef", {1: ("apiGroup", text), 2: ("kind", text), 3: ("name", text)}),
}

KINDS: Final[dict[str, Message]] = {
    "Namespace": {
        1: ("metadata", _META),
        2: ("spec", {1: ("finalizers", Many(text))}),
        3: ("status", {1: ("phase", text)}),
    },
    "Secret": {
        1: ("metadata", _META),
        2: ("data", MapOf(blob)),
        3: ("type", text),
        4: ("stringData", MapOf(text)),
        5: ("immutable", truth),
    },
    "ConfigMap": {
        1: ("metadata", _META),
        2: ("data", MapOf(text)),
        3: ("binaryData", MapOf(blob)),
        4: ("immutable", truth),
    },
    "ServiceAccount": {
        1: ("metadata", _META),
        2: ("secrets", Many(_REFERENCE)),
        3: ("imagePullSecrets", Many(_LOCAL)),
        4: ("automountServiceAccountToken", truth),
    },
    "TokenRequest": {
        1: ("metadata", _META),
        2: (
            "spec",
            {
                1: ("audiences", Many(text)),
                4: ("expirationSeconds", number),
                3: (
                    "boundObjectRef",
                    {1: ("kind", text), 2: ("apiVersion", text), 3: ("name", text), 4: ("uid", text)},
                ),
            },
        ),
    },
    "TokenReview": {1: ("metadata", _META), 2: ("spec", {1: ("token", text), 2: ("audiences", Many(text))})},
    "SelfSubjectReview": {1: ("metadata", _META)},
    "SelfSubjectAccessReview": {
        1: ("metadata", _META),
        2: ("spec", {1: ("resourceAttributes", _RESOURCE_ATTRIBUTES), 2: ("nonResourceAttributes", _NON_RESOURCE)}),
    },
    "SelfSubjectRulesReview": {1: ("metadata", _META), 2: ("spec", {1: ("namespace", text)})},
    "SubjectAccessReview": {
        1: ("metadata", _META),
        2: (
            "spec",
            {
                1: ("resourceAttributes", _RESOURCE_ATTRIBUTES),
                2: ("nonResourceAttributes", _NON_RESOURCE),
                3: ("user", text),
                4: ("groups", Many(text)),
                6: ("uid", text),
            },
        ),
    },
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "Deployment": {
        1: ("metadata", _META),
        2: ("spec", {1: ("replicas", number), 2: ("selector", _SELECTOR), 3: ("template", _TEMPLATE)}),
    },
    "Job": {
        1: ("metadata", _META),
        2: (
            "spec",
            {
                1: ("parallelism", number),
                2: ("completions", number),
                4: ("selector", _SELECTOR),
                6: ("template", _TEMPLATE),
                7: ("backoffLimit", number),
                8: ("ttlSecondsAfterFinished", number),
            },
        ),
    },
    "Service": {
        1: ("metadata", _META),
        2: (
            "spec",
            {
                1: ("ports", Many(_SERVICE_PORT)),
                2: ("selector", MapOf(text)),
                3: ("clusterIP", text),
                4: ("type", text),
                10: ("externalName", text),
            },
        ),
    },
    "DeleteOptions": {
        1: ("gracePeriodSeconds", number),
        2: ("preconditions", {1: ("uid", text), 2: ("resourceVersion", text)}),
        3: ("orphanDependents", truth),
        4: ("propagationPolicy", text),
        5: ("dryRun", Many(text)),
    },
    "Eviction": {
        1: ("metadata", _META),
        2: ("deleteOptions", {1: ("gracePeriodSeconds", number), 4: ("propagationPolicy", text)}),
    },
    "Scale": {1: ("metadata", _META), 2: ("spec", {1: ("replicas", number)})},
}


def decode(body: bytes) -> Object:
    """The object in a protobuf body; raises `ApiError` 400, also for a kind that is not in the table."""
    try:
        if not body.startswith(MAGIC):
            raise Malformed
        unknown = dict(_fields(body[len(MAGIC) :]))
        meta = dict(_fields(unknown[1]))
        kind = text(meta[2])
        message = KINDS.get(kind)
        if message is None:
            raise bad_request(f"{kind} is not accepted as protobuf; send it as JSON or YAML")
        return {"apiVersion": text(meta[1]), "kind": kind} | _decode(unknown.get(2, b""), message)
    except (Malformed, KeyError, UnicodeDecodeError, OverflowError, OSError, ValueError):
        raise bad_request("the body is not a Kubernetes protobuf message") from None


def _decode(body: Any, message: Message) -> Object:
    found: Object = {}
    for field, raw in _fields(body):
        if field not in message:
            if not _is_empty(raw):
                raise bad_request(f"field {field} is not understood in protobuf; send the object as JSON or YAML")
            continue
        name, kind = message[field]
        if isinstance(kind, Many):
            found.setdefault(name, []).append(_value(raw, kind.of))
        elif isinstance(kind, MapOf):
            entry = dict(_fields(raw))
            found.setdefault(name, {})[text(entry.get(1, b""))] = _value(entry.get(2, b""), kind.of)
        else:
            value = _value(raw, kind)
            if value not in ("", None, {}):
                found[name] = value
    return found


def _is_empty(raw: int | bytes) -> bool:
    """Whether a field says nothing: Go writes empty messages for structs that are not set."""
    if not isinstance(raw, bytes) or not raw:
        return not raw
    try:
        return all(_is_empty(value) for _, value in _fields(raw))
    except Malformed:
        return False


def _value(raw: Any, kind: Type) -> Any:
    if isinstance(kind, dict):
        return _decode(raw, kind)
    if isinstance(kind, Many | MapOf):
        raise Malformed
    return kind(raw)


def _fields(body: Any) -> Iterator[tuple[int, int | bytes]]:
    if not isinstance(body, bytes):
        raise Malformed
    position = 0
    while position < len(body):
        tag, position = _varint(body, position)
        wire = tag & 7
        if wire == _VARINT:
            value, position = _varint(body, position)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            length, position = _varint(body, position)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}.get(wire, -1)
        if length < 0 or position + length > len(body):
            raise Malformed
        yield tag >> 3, body[position : position + length]
        position += length


def _varint(body: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(body) or shift > 63:
            raise Malformed
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), position
        shift += 7
