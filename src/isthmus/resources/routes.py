"""HTTPRoutes of the Gateway API, and Linkerd's own copy of them, as far as they may be attached to Services."""

from typing import Any, Final

import msgspec

from isthmus.kube.kinds import Kind
from isthmus.kube.meta import Meta

SERVICE_GROUPS: Final = ("", "core")
"""How the group of Services is written: Linkerd accepts the second, too."""


class ParentRef(msgspec.Struct, frozen=True, rename="camel"):
    """Without a group and a kind it means a Gateway."""

    group: str = "gateway.networking.k8s.io"
    kind: str = "Gateway"
    name: str = ""
    namespace: str | None = None
    section_name: str | None = None
    port: int | None = None

    @property
    def is_service(self) -> bool:
        return self.group in SERVICE_GROUPS and self.kind == "Service"


class BackendRef(msgspec.Struct, frozen=True, rename="camel"):
    group: str = ""
    kind: str = "Service"
    name: str = ""
    namespace: str | None = None
    port: int | None = None
    weight: int | None = 1
    filters: tuple[dict[str, Any], ...] | None = None

    @property
    def is_service(self) -> bool:
        return self.group in SERVICE_GROUPS and self.kind == "Service"


class PathMatch(msgspec.Struct, frozen=True, rename="camel"):
    type: str = "PathPrefix"
    value: str = "/"


class Match(msgspec.Struct, frozen=True, rename="camel"):
    path: PathMatch | None = None
    headers: tuple[dict[str, Any], ...] | None = None
    query_params: tuple[dict[str, Any], ...] | None = None
    method: str | None = None

    @property
    def everything(self) -> bool:
        path = self.path or PathMatch()
        return path == PathMatch() and not (self.headers or self.query_params or self.method)


class Rule(msgspec.Struct, frozen=True, rename="camel"):
    matches: tuple[Match, ...] | None = None
    filters: tuple[dict[str, Any], ...] | None = None
    backend_refs: tuple[BackendRef, ...] | None = None
    timeouts: dict[str, Any] | None = None
    retry: dict[str, Any] | None = None
    session_persistence: dict[str, Any] | None = None


class RouteSpec(msgspec.Struct, frozen=True, rename="camel"):
    parent_refs: tuple[ParentRef, ...] | None = None
    hostnames: tuple[str, ...] | None = None
    rules: tuple[Rule, ...] | None = None


class HTTPRoute(msgspec.Struct, frozen=True, rename="camel"):
    metadata: Meta = Meta()
    spec: RouteSpec = RouteSpec()

    @property
    def services(self) -> tuple[ParentRef, ...]:
        """The parents that are Services; routes of Gateways are not the mesh's."""
        return tuple(parent for parent in self.spec.parent_refs or () if parent.is_service)


HTTP_ROUTES: Final = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes", HTTPRoute)
LINKERD_ROUTES: Final = Kind("policy.linkerd.io/v1beta3", "HTTPRoute", "httproutes", HTTPRoute)
KINDS: Final = (HTTP_ROUTES, LINKERD_ROUTES)
