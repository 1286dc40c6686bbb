"""Frames of exec and attach, byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.lab.node import channels
from isthmus.lab.node.channels import Channel, ClientMessage, Input, InputEnd, Resize, Unknown


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        (b"\x00ls\n", Input(b"ls\n")),
        (b"\x00", Input(b"")),
        (b"\xff\x00", InputEnd()),
        (b"\xff\x01", Unknown()),
        (b'\x04{"Width":80,"Height":24}', Resize(80, 24)),
        (b"\x04{}", Unknown()),
        (b"\x04not json", Unknown()),
        (b"\x09?", Unknown()),
        (b"", Unknown()),
    ],
)
def test_what_a_client_says(message: bytes, meaning: ClientMessage) -> None:
    assert channels.decode(message) == meaning


@given(st.binary())
def test_no_message_is_too_strange(message: bytes) -> None:
    assert isinstance(channels.decode(message), ClientMessage)


def test_output_is_marked_with_its_channel() -> None:
    assert channels.encode(Channel.STDOUT, b"out") == b"\x01out"
    assert channels.encode(Channel.STDERR, b"err") == b"\x02err"


def test_success() -> None:
    assert channels.exit_status(0) == b'\x03{"metadata":{},"status":"Success"}'


def test_an_exit_code_is_where_clients_look_for_it() -> None:
    message = channels.exit_status(137)
    status = json.loads(message[1:])
    assert message[0] == Channel.ERROR
    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
    assert status["message"] == "command terminated with non-zero exit code: exit status 137"
    assert status["details"] == {"causes": [{"reason": "ExitCode", "message": "137"}]}


def test_a_refusal_keeps_its_own_reason() -> None:
    status = json.loads(channels.failure("no such container", reason="NotFound", code=404)[1:])
    assert (status["reason"], status["code"], status["message"]) == ("NotFound", 404, "no such container")
