"""Whose token is this? The Kubernetes API answers by a TokenReview."""

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from isthmus import names
from isthmus.identity.ca import Refusal
from isthmus.kube import errors
from isthmus.kube.client import Client
from isthmus.kube.kinds import TOKEN_REVIEWS

ACCOUNT_PREFIX: Final = "system:serviceaccount:"
MAX_TOKEN_BYTES: Final = 16384
MAX_CONCURRENT_REVIEWS: Final = 32
REVIEW_TIMEOUT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Account:
    """A Kubernetes service account."""

    namespace: str
    name: str


class User(msgspec.Struct, frozen=True):
    username: str = ""


class ReviewStatus(msgspec.Struct, frozen=True):
    """`status` of a TokenReview, as far as it is read."""

    authenticated: bool = False
    user: User = User()
    audiences: tuple[str, ...] = ()


class Reviewer(Protocol):
    """Tells whose token it is, or raises Refusal."""

    async def account(self, token: str) -> Account: ...


class TokenReviewer:
    """Asks the API server. Bounded: a burst of requests waits here instead of flooding the API server."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_REVIEWS)

    async def account(self, token: str) -> Account:
        review = {"metadata": {}, "spec": {"token": token, "audiences": [names.TOKEN_AUDIENCE]}}
        try:
            async with asyncio.timeout(REVIEW_TIMEOUT), self._slots:
                answer = await self._client.create(TOKEN_REVIEWS, review)
            return account_of(msgspec.convert(answer.get("status") or {}, ReviewStatus))
        except TimeoutError as error:
            raise _no_review(f"no answer within {REVIEW_TIMEOUT:.0f} s") from error
        except (errors.KubeError, msgspec.ValidationError) as error:
            raise _no_review(str(error)) from error


def account_of(status: ReviewStatus) -> Account:
    """The service account that a TokenReview found, if the token is one made for this authority."""
    if not status.authenticated:
        raise Refusal("bad_token", "the Kubernetes API does not accept the token: it is expired or forged", status=401)
    if names.TOKEN_AUDIENCE not in status.audiences:
        raise Refusal("bad_token", f"the token was not made for the audience {names.TOKEN_AUDIENCE}", status=401)
    namespace, _, name = status.user.username.removeprefix(ACCOUNT_PREFIX).partition(":")
    if not status.user.username.startswith(ACCOUNT_PREFIX) or not namespace or not name:
        raise Refusal("bad_token", "the token does not belong to a service account", status=401)
    return Account(namespace, name)


def _no_review(detail: str) -> Refusal:
    return Refusal("review_failed", f"the Kubernetes API did not review the token: {detail}", status=503)
