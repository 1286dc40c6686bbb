"""Kinds: how a kind of object is addressed, and the type that it is decoded into."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Object = dict[str, Any]
"""An object as plain JSON, for kinds that have no typed view and for everything that is written."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """`decode_as` is a msgspec struct with a `metadata: Meta`, or `dict` for plain objects."""

    api_version: str
    kind: str
    plural: str
    decode_as: type[T]
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path; no namespace means all of them."""
        parts = ["/api" if "/" not in self.api_version else "/apis", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def describe(self, namespace: str | None = None, name: str | None = None) -> str:
        """The object in words: `Service shop/web`, `Nodes`, `Services in shop`."""
        if name:
            return f"{self.kind} {namespace}/{name}" if self.namespaced and namespace else f"{self.kind} {name}"
        return f"{self.plural} in {namespace}" if self.namespaced and namespace else self.plural


def plain(api_version: str, kind: str, plural: str, *, namespaced: bool = True) -> Kind[Object]:
    """A kind whose objects stay plain dicts."""
    return Kind(api_version, kind, plural, dict, namespaced)


LEASES = plain("coordination.k8s.io/v1", "Lease", "leases")
EVENTS = plain("v1", "Event", "events")
TOKEN_REVIEWS = plain("authentication.k8s.io/v1", "TokenReview", "tokenreviews", namespaced=False)
ACCESS_REVIEWS = plain(
    "authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
)
CUSTOM_RESOURCE_DEFINITIONS = plain(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
DEPLOYMENTS = plain("apps/v1", "Deployment", "deployments")
"""The kinds that this room and the command line write; the typed ones are in `isthmus.resources`."""
