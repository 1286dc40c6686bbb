"""A Secret of a Link that cannot be used says so, whatever is in it."""

import base64

import pytest

from isthmus import names
from isthmus.kube.meta import Meta
from isthmus.multicluster import credentials
from isthmus.resources.core import Secret

from .values import link


@pytest.mark.parametrize("content", [b"[" * 50_000, b"- a list", b"\xff", b"{"])
def test_what_is_no_kubeconfig_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(credentials.Unusable, match="does not hold a kubeconfig"):
        credentials.kubeconfig(link(), _secret(content))


@pytest.mark.parametrize("content", [b"users: 5", b"users: [1, {user: 3}]", b"clusters: {a: b}"])
def test_what_has_another_shape_is_left_to_whoever_connects_with_it(content: bytes) -> None:
    assert credentials.kubeconfig(link(), _secret(content)) == content


def test_a_kubeconfig_that_runs_a_program_is_refused() -> None:
    with pytest.raises(credentials.Unusable, match="uses exec"):
        credentials.kubeconfig(link(), _secret(b"users: [{user: {exec: {command: sh}}}]"))


def _secret(content: bytes) -> Secret:
    return Secret(Meta(), data={names.CREDENTIALS_KEY: base64.b64encode(content).decode()})
