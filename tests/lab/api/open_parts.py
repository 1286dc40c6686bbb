"""Parts of an API server that let everybody do everything, for tests of the core alone."""

from typing import Any

from aiohttp import web

from isthmus.lab.api.contracts import SUPERUSER, ApiError, Asked, Object, User, Write


class OpenAuthenticator:
    async def authenticate(self, request: web.Request) -> User:
        return SUPERUSER


class OpenAuthorizer:
    def allowed(self, user: User, asked: Asked) -> tuple[bool, str]:
        return True, ""


class OpenAdmission:
    async def admit(self, write: Write) -> Object:
        return write.obj if write.obj is not None else (write.old or {})


class OpenReviews:
    """Every access review says yes; tokens are not served."""

    async def handle(self, kind: str, user: User, obj: Object, namespace: str, name: str) -> Object:
        if kind.endswith("AccessReview"):
            return obj | {"status": {"allowed": True}}
        if kind == "SelfSubjectReview":
            return obj | {"status": {"userInfo": {"username": user.name, "groups": list(user.groups)}}}
        raise ApiError(501, "NotImplemented", f"this API server was started without support for {kind}")


class NoStreaming:
    async def proxy(self, request: web.Request, pod: dict[str, Any], subresource: str) -> web.StreamResponse:
        raise ApiError(503, "ServiceUnavailable", f"pods/{subresource} needs a kubelet and this API server has none")


def open_parts() -> dict[str, Any]:
    """What `ApiServer` is made of beside its store."""
    return {
        "authenticator": OpenAuthenticator(),
        "authorizer": OpenAuthorizer(),
        "admission": OpenAdmission(),
        "reviews": OpenReviews(),
        "streaming": NoStreaming(),
    }
