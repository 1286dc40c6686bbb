"""Who a request comes from: a client certificate, a service account's token, or nobody in particular."""

from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from isthmus.lab.api.contracts import ANONYMOUS, ApiError, Reader, User
from isthmus.lab.api.tokens import InvalidTokenError, Tokens

AUTHENTICATED: Final = "system:authenticated"


@dataclass(frozen=True)
class ClusterAuthenticator:
    """Authentication as a Kubernetes API server does it, against the tokens and accounts of one cluster."""

    tokens: Tokens
    store: Reader

    async def authenticate(self, request: web.Request) -> User:
        """A verified certificate first, then a bearer token; wrong credentials are refused, none are anonymous."""
        certificate = request.get_extra_info("peercert")
        if certificate and (user := certificate_user(certificate)):
            return user
        if (token := bearer(request.headers.get("Authorization", ""))) is None:
            return ANONYMOUS
        try:
            return self.tokens.verify(token, store=self.store).user
        except InvalidTokenError as error:
            raise ApiError(401, "Unauthorized", "Unauthorized") from error


def certificate_user(certificate: dict[str, Any]) -> User | None:
    """The user a verified client certificate names: its common name, with its organizations as groups."""
    attributes = [attribute for part in certificate.get("subject", ()) for attribute in part]
    name = next((value for key, value in attributes if key == "commonName"), "")
    groups = tuple(value for key, value in attributes if key == "organizationName")
    return User(name=name, groups=(*groups, AUTHENTICATED)) if name else None


def bearer(header: str) -> str | None:
    """The token of an Authorization header; another scheme is as good as none, as in Kubernetes."""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
