"""What the halves of the API server agree on: who asks, what is asked for, and how a refusal looks.

The core (store, handlers, watches) knows authentication, authorization, admission, review and streaming only by the
protocols here, so that either half is tested without the other.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from aiohttp import web

Object = dict[str, Any]
"""A Kubernetes object as parsed JSON. Whatever the store hands out is shared: copy before changing it."""

Operation = Literal["CREATE", "UPDATE", "DELETE"]


@dataclass(frozen=True)
class User:
    """Who a request comes from, as authentication established it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


WARNINGS: Final[ContextVar[list[str] | None]] = ContextVar("WARNINGS", default=None)
"""Where warnings gather for the reply's `Warning` headers. Whoever handles the request sets a list."""

ANONYMOUS: Final = User(name="system:anonymous", groups=("system:unauthenticated",))
SUPERUSER: Final = User(name="kubernetes-admin", groups=("system:masters", "system:authenticated"))


@dataclass(frozen=True)
class Asked:
    """What a user wants to do: to a resource, or at the path of something that is none."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


@dataclass(frozen=True)
class ResourceInfo:
    """One resource of one group and version, as discovery shows it."""

    group: str
    version: str
    resource: str
    """The plural that appears in URLs, for example `deployments`."""
    kind: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    subresources: tuple[str, ...] = ()
    custom: bool = False
    """Defined by a CustomResourceDefinition: merges by JSON merge patch only, keeps no built-in defaults."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def stored(self) -> tuple[str, str]:
        """Group and resource that its objects are kept as: events are the same ones in both of their groups."""
        return ("" if self.group == "events.k8s.io" else self.group), self.resource

    @property
    def qualified(self) -> str:
        """`deployments.apps`, or `pods` for the core group: how messages name the resource."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


@dataclass(frozen=True, kw_only=True)
class Write:
    """An object that is about to be stored, changed or deleted."""

    operation: Operation
    user: User
    resource: ResourceInfo
    namespace: str
    name: str
    obj: Object | None
    """None for DELETE."""
    old: Object | None
    dry_run: bool


class ApiError(Exception):
    """A refusal that reaches the client as a `Status` object with this code, reason and message."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.headers = dict(headers or {})

    def status(self) -> Object:
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            body["details"] = self.details
        return body | {"code": self.code}


class Authenticator(Protocol):
    async def authenticate(self, request: web.Request) -> User:
        """The user behind a request; raises `ApiError` 401 for credentials that are present but wrong."""
        ...


class Authorizer(Protocol):
    def allowed(self, user: User, asked: Asked) -> tuple[bool, str]:
        """Whether the user may, and why."""
        ...


class Admission(Protocol):
    async def admit(self, write: Write) -> Object:
        """The object as mutating webhooks left it (`old` for DELETE); raises `ApiError` when one refuses."""
        ...


class Reviews(Protocol):
    async def handle(self, kind: str, user: User, obj: Object, namespace: str, name: str) -> Object:
        """Answer a TokenReview, SelfSubjectAccessReview, SubjectAccessReview, LocalSubjectAccessReview,
        SelfSubjectRulesReview, SelfSubjectReview or TokenRequest (namespace and name are the service account's)."""
        ...


class Streaming(Protocol):
    async def proxy(self, request: web.Request, pod: Object, subresource: str) -> web.StreamResponse:
        """Carry pods/{exec,attach,log,portforward} to the kubelet and back."""
        ...


class Reader(Protocol):
    """The store as others in this process read it. What it returns is shared and must not be changed."""

    def get(self, group: str, resource: str, namespace: str | None, name: str) -> Object | None: ...

    def list(self, group: str, resource: str, namespace: str | None = None) -> list[Object]: ...
