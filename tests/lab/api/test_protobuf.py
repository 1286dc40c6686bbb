"""Protobuf bodies become the same objects as JSON ones, and nothing in them is lost silently."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.lab.api import protobuf
from isthmus.lab.api.contracts import ApiError


def _field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def _body(api_version: str, kind: str, *fields: bytes) -> bytes:
    meta = _field(1, api_version.encode()) + _field(2, kind.encode())
    return protobuf.MAGIC + _field(1, meta) + _field(2, b"".join(fields)) + _field(3, b"") + _field(4, b"")


NAME = _field(1, _field(1, b"x") + _field(8, b""))


def test_a_secret() -> None:
    entry = _field(1, b"key") + _field(2, b"b")
    assert protobuf.decode(_body("v1", "Secret", NAME, _field(2, entry), _field(3, b"Opaque"))) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "x"},
        "data": {"key": "Yg=="},
        "type": "Opaque",
    }


def test_an_access_review() -> None:
    attributes = _field(1, b"default") + _field(2, b"get") + _field(5, b"pods")
    body = _body("authorization.k8s.io/v1", "SelfSubjectAccessReview", _field(2, _field(1, attributes)))
    assert protobuf.decode(body)["spec"] == {
        "resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"}
    }


def test_a_field_that_says_something_unknown_is_refused() -> None:
    with pytest.raises(ApiError) as refused:
        protobuf.decode(_body("v1", "ConfigMap", NAME, _field(9, b"news")))
    assert "field 9" in refused.value.message


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ApiError) as refused:
        protobuf.decode(_body("v1", "Surprise"))
    assert "Surprise" in refused.value.message


@given(body=st.binary(max_size=60), kind=st.sampled_from(sorted(protobuf.KINDS)))
def test_garbage_is_an_object_or_a_refusal(body: bytes, kind: str) -> None:
    with contextlib.suppress(ApiError):
        protobuf.decode(_body("v1", kind, body))
