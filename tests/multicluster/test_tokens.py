"""What a token says of itself, and what becomes of the condition `Reachable` with it."""

import base64
import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.multicluster import credentials, tokens
from isthmus.multicluster.credentials import Used
from isthmus.multicluster.status import Condition

from .values import link

CONNECTED = Condition("Reachable", "Connected", "Following east.")
REJECTED = Condition("Reachable", "CredentialsRejected", "401.")
TOKEN = tokens.Token("linkerd-multicluster", "west", issued=1_000_000, expires=1_000_900)


def jwt(**claims: Any) -> str:
    said = {"iat": 1000, "exp": 4000, "sub": "system:serviceaccount:linkerd-multicluster:west"} | claims
    payload = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


def kubeconfig(user: dict[str, Any]) -> bytes:
    return yaml.safe_dump(
        {
            "clusters": [{"name": "east", "cluster": {"server": "https://east"}}],
            "users": [{"name": "other", "user": {"token": "kept"}}, {"name": "me", "user": user}],
            "contexts": [{"name": "here", "context": {"cluster": "east", "user": "me"}}],
            "current-context": "here",
        }
    ).encode()


def test_a_bound_token_says_whose_it_is_and_is_due_at_two_thirds_of_its_life() -> None:
    token = tokens.read(kubeconfig({"token": jwt()}))
    assert token == tokens.Token("linkerd-multicluster", "west", issued=1000, expires=4000)
    assert token.due == 3000
    assert token.expiry == "1970-01-01T01:06:40Z"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"exp": 1000},
        {"exp": 10**30},
        {"exp": "tomorrow"},
        {"sub": "alice"},
        {"sub": "system:serviceaccount:a:b:c"},
        {"sub": "system:serviceaccount:a:../secrets/b"},
    ],
)
def test_a_token_that_does_not_expire_or_is_no_accounts_is_not_ours_to_renew(claims: dict[str, Any]) -> None:
    assert tokens.parse(jwt(**claims)) is None


@settings(max_examples=50)
@given(st.text() | st.binary().map(lambda raw: f"a.{base64.urlsafe_b64encode(raw).decode()}.b"))
def test_nothing_that_stands_for_a_token_is_an_error(text: str) -> None:
    assert tokens.parse(text) is None


@settings(max_examples=30)
@given(st.binary() | st.recursive(st.none() | st.text(), st.lists).map(lambda value: yaml.safe_dump(value).encode()))
def test_nothing_that_stands_for_a_kubeconfig_is_an_error(content: bytes) -> None:
    assert tokens.read(content) is None


def test_the_next_token_takes_the_place_of_the_old_and_nothing_else_changes() -> None:
    changed = tokens.with_token(kubeconfig({"token": "old", "as": "somebody"}), "new")
    assert yaml.safe_load(changed) == yaml.safe_load(kubeconfig({"token": "new", "as": "somebody"}))


def test_a_working_link_says_when_its_credentials_expire() -> None:
    told = credentials.judged(CONNECTED, link(), Used(TOKEN), now=1_000_100)
    assert told == Condition("Reachable", "Connected", f"Following east. The credentials expire at {TOKEN.expiry}.")


def test_credentials_that_cannot_be_renewed_are_told_before_they_expire() -> None:
    told = credentials.judged(CONNECTED, link(), Used(TOKEN, "east forbids it."), now=1_000_700)
    assert (told.reason, told.status) == ("CredentialsNotRenewed", "True")
    assert "could not be renewed: east forbids it. Run `linkerd multicluster install`" in told.message


def test_credentials_that_expired_are_not_called_revoked() -> None:
    told = credentials.judged(REJECTED, link(), Used(TOKEN, "401"), now=1_001_000)
    assert told.reason == "CredentialsExpired"
    assert told.message.startswith(f"The credentials for east expired at {TOKEN.expiry}")
    assert "linkerd multicluster link --cluster-name east" in told.message


def test_credentials_that_were_revoked_are_not_called_expired_and_name_their_account() -> None:
    told = credentials.judged(REJECTED, link(), Used(TOKEN), now=1_000_100)
    assert told.reason == "CredentialsRejected"
    assert f"ServiceAccount {TOKEN.namespace}/{TOKEN.account} was deleted there" in told.message
    assert "linkerd multicluster link --cluster-name east" in told.message


def test_credentials_that_do_not_expire_change_nothing() -> None:
    assert credentials.judged(CONNECTED, link(), Used(), now=0) == CONNECTED
