"""Service account tokens: short-lived and bound ones, and the non-expiring kind that lives in Secrets.

A token proves nothing by its signature alone. It is good only while its service account, and the pod or Secret it is
bound to, still exist with the same uid: deleting those revokes it.
"""

import base64
import functools
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from isthmus.lab.api.contracts import Object, Reader, User

LEGACY_ISSUER: Final = "kubernetes/serviceaccount"
LEGACY_PREFIX: Final = "kubernetes.io/serviceaccount/"
EXTRA_PREFIX: Final = "authentication.kubernetes.io/"
_ALGORITHM: Final = "ES256"
_VERIFIED_TOKENS_KEPT: Final = 1024


class InvalidTokenError(Exception):
    """Why a token is not accepted, in words fit for a TokenReview's `status.error`."""


@dataclass(frozen=True)
class Verified:
    """A token that was accepted: who it speaks for, and to which of the audiences asked for."""

    user: User
    audiences: tuple[str, ...]


@dataclass(frozen=True)
class Account:
    """A service account as a token names it."""

    namespace: str
    name: str
    uid: str

    def user(self, extra: Mapping[str, tuple[str, ...]]) -> User:
        return User(
            name=f"system:serviceaccount:{self.namespace}:{self.name}",
            uid=self.uid,
            groups=(
                "system:serviceaccounts",
                f"system:serviceaccounts:{self.namespace}",
                "system:authenticated",
            ),
            extra=extra,
        )


@dataclass(frozen=True)
class _Reference:
    """An object that must still exist for the token to be good."""

    resource: str
    namespace: str
    name: str
    uid: str = ""

    def check(self, store: Reader) -> None:
        found = store.get("", self.resource, self.namespace, self.name)
        if found is None or (self.uid and found["metadata"].get("uid") != self.uid):
            raise InvalidTokenError(f'{self.resource} "{self.namespace}/{self.name}" of this token no longer exists')


@dataclass(frozen=True)
class Tokens:
    """Mints and verifies the tokens of one cluster."""

    key: ec.EllipticCurvePrivateKey
    domain: str = "cluster.local"
    clock: Callable[[], float] = field(default=time.time)

    @classmethod
    def load(cls, key_pem: bytes, *, domain: str = "cluster.local") -> "Tokens":
        key = load_pem_private_key(key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(
                "service account tokens are signed with an elliptic curve key; this file holds another kind"
            )
        return cls(key, domain)

    @property
    def issuer(self) -> str:
        """Also the audience of the API server itself: a token without any other audience is for it."""
        return f"https://kubernetes.default.svc.{self.domain}"

    def mint(
        self, account: Account, *, audiences: Sequence[str], seconds: int, bound: Object | None = None
    ) -> tuple[str, int]:
        """A bound token and when it expires. `bound` is the pod or Secret whose deletion revokes it."""
        now = int(self.clock())
        subject: dict[str, Any] = {
            "namespace": account.namespace,
            "serviceaccount": {"name": account.name, "uid": account.uid},
        }
        if bound:
            subject[bound["kind"].lower()] = {"name": bound["metadata"]["name"], "uid": bound["metadata"]["uid"]}
            if node := bound.get("spec", {}).get("nodeName"):
                subject["node"] = {"name": node}
        claims = {
            "aud": list(audiences),
            "exp": now + seconds,
            "iat": now,
            "nbf": now,
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": subject,
            "sub": f"system:serviceaccount:{account.namespace}:{account.name}",
        }
        return self._sign(claims), now + seconds

    def service_account_secret_data(
        self, namespace: str, name: str, ca_pem: str, *, uid: str, secret: str
    ) -> dict[str, str]:
        """`data` of a Secret of type `kubernetes.io/service-account-token`: a token that does not expire."""
        claims = {
            "iss": LEGACY_ISSUER,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            LEGACY_PREFIX + "namespace": namespace,
            LEGACY_PREFIX + "secret.name": secret,
            LEGACY_PREFIX + "service-account.name": name,
            LEGACY_PREFIX + "service-account.uid": uid,
        }
        plain = {"ca.crt": ca_pem, "namespace": namespace, "token": self._sign(claims)}
        return {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}

    def verify(self, token: str, *, store: Reader, audiences: Sequence[str] = ()) -> Verified:
        """Accept a token for at least one of the audiences (the API server's own when none are named)."""
        wanted = tuple(audiences) or (self.issuer,)
        claims = self._claims(token)
        if claims.get("iss") == LEGACY_ISSUER:
            return self._verify_legacy(token, claims, store=store, wanted=wanted)
        if claims.get("exp", 0) <= self.clock():
            raise InvalidTokenError("service account token has expired")
        matching = tuple(audience for audience in wanted if audience in claims.get("aud", ()))
        if not matching:
            raise InvalidTokenError(
                f"invalid bearer token, token audiences {_words(claims.get('aud', ()))} is invalid for the target "
                f"audiences {_words(wanted)}"
            )
        subject = claims["kubernetes.io"]
        account = Account(subject["namespace"], subject["serviceaccount"]["name"], subject["serviceaccount"]["uid"])
        _Reference("serviceaccounts", account.namespace, account.name, account.uid).check(store)
        for kind in ("pod", "secret"):
            if bound := subject.get(kind):
                _Reference(f"{kind}s", account.namespace, bound["name"], bound["uid"]).check(store)
        return Verified(account.user(_extra(claims)), matching)

    def _verify_legacy(self, token: str, claims: Object, *, store: Reader, wanted: tuple[str, ...]) -> Verified:
        if self.issuer not in wanted:
            raise InvalidTokenError(
                f"invalid bearer token, a token from a Secret is invalid for the target audiences {_words(wanted)}"
            )
        account = Account(
            claims[LEGACY_PREFIX + "namespace"],
            claims[LEGACY_PREFIX + "service-account.name"],
            claims[LEGACY_PREFIX + "service-account.uid"],
        )
        _Reference("serviceaccounts", account.namespace, account.name, account.uid).check(store)
        secret = store.get("", "secrets", account.namespace, claims[LEGACY_PREFIX + "secret.name"])
        if secret is None or secret.get("data", {}).get("token") != base64.b64encode(token.encode()).decode():
            raise InvalidTokenError("the Secret of this service account token was deleted or holds another token now")
        return Verified(account.user({}), (self.issuer,))

    def _sign(self, claims: Mapping[str, Any]) -> str:
        return jwt.encode(dict(claims), self.key, algorithm=_ALGORITHM)

    def _claims(self, token: str) -> Object:
        return _signed_claims(self._public_pem, token)

    @functools.cached_property
    def _public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@functools.lru_cache(maxsize=_VERIFIED_TOKENS_KEPT)
def _signed_claims(key: bytes, token: str) -> Object:
    """What a token says, once its signature is known to be good. Time and existence are checked at each use."""
    try:
        claims: Object = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
    except jwt.InvalidTokenError as error:
        raise InvalidTokenError(f"invalid bearer token: {error}") from error
    return claims


def _extra(claims: Object) -> dict[str, tuple[str, ...]]:
    extra: dict[str, tuple[str, ...]] = {}
    if "jti" in claims:
        extra[EXTRA_PREFIX + "credential-id"] = (f"JTI={claims['jti']}",)
    if node := claims["kubernetes.io"].get("node"):
        extra[EXTRA_PREFIX + "node-name"] = (node["name"],)
    if pod := claims["kubernetes.io"].get("pod"):
        extra[EXTRA_PREFIX + "pod-name"] = (pod["name"],)
        extra[EXTRA_PREFIX + "pod-uid"] = (pod["uid"],)
    return extra


def _words(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
