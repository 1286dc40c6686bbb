"""Frames of exec and attach: the `channel.k8s.io` websocket subprotocols, versions 4 and 5. Pure functions.

A message is one byte that names the channel, then the data. Version 5 adds the close channel: the only way for a client
to say that its input has ended.
"""

from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec

V5: Final = "v5.channel.k8s.io"
V4: Final = "v4.channel.k8s.io"
PROTOCOLS: Final = (V5, V4)
"""In order of preference."""


class Channel(IntEnum):
    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4
    CLOSE = 255


class Input(NamedTuple):
    data: bytes


class InputEnd(NamedTuple):
    pass


class Resize(NamedTuple):
    width: int
    height: int


class Unknown(NamedTuple):
    """Something a server has no use for; later versions of the protocol may send it, so it is no error."""


ClientMessage = Input | InputEnd | Resize | Unknown


class _Size(msgspec.Struct):
    Width: int
    Height: int


def decode(message: bytes) -> ClientMessage:
    """What a client says with one message."""
    if not message:
        return Unknown()
    data = message[1:]
    match message[0]:
        case Channel.STDIN:
            return Input(data)
        case Channel.CLOSE if data == bytes([Channel.STDIN]):
            return InputEnd()
        case Channel.RESIZE:
            return _resize(data)
    return Unknown()


def encode(channel: Channel, data: bytes) -> bytes:
    return bytes([channel]) + data


def exit_status(code: int) -> bytes:
    """The last message on the error channel: how the program ended, as clients parse it."""
    if code == 0:
        return _status({"metadata": {}, "status": "Success"})
    return _status(
        {
            "metadata": {},
            "status": "Failure",
            "message": f"command terminated with non-zero exit code: exit status {code}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }
    )


def failure(message: str, *, reason: str = "InternalError", code: int = 500) -> bytes:
    """The last message on the error channel when the program could not be started at all."""
    shown = f"Internal error occurred: {message}" if reason == "InternalError" else message
    return _status({"metadata": {}, "status": "Failure", "message": shown, "reason": reason, "code": code})


def _resize(data: bytes) -> ClientMessage:
    try:
        size = msgspec.json.decode(data, type=_Size)
    except msgspec.MsgspecError:
        return Unknown()
    return Resize(size.Width, size.Height)


def _status(body: dict[str, Any]) -> bytes:
    return encode(Channel.ERROR, msgspec.json.encode(body))
