"""Object metadata, and the keys that objects are known by."""

from typing import Any, Protocol, runtime_checkable

import msgspec

Key = tuple[str, str]
"""Namespace ("" for cluster-scoped objects) and name."""


class Owner(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """An entry of `ownerReferences`."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    controller: bool = False


class Meta(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """`metadata`, as far as anybody here reads it."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[Owner, ...] = ()

    @property
    def key(self) -> Key:
        return self.namespace, self.name


@runtime_checkable
class HasMeta(Protocol):
    """A typed Kubernetes object."""

    @property
    def metadata(self) -> Meta: ...


def key_of(item: Any) -> Key:
    """Namespace and name of a typed object or of a plain dict."""
    if isinstance(item, dict):
        metadata = item.get("metadata") or {}
        return metadata.get("namespace") or "", metadata.get("name") or ""
    return item.metadata.namespace, item.metadata.name


def resource_version_of(item: Any) -> str:
    """The opaque version of a typed object or of a plain dict."""
    if isinstance(item, dict):
        return (item.get("metadata") or {}).get("resourceVersion") or ""
    version: str = item.metadata.resource_version
    return version


def applied(live: dict[str, Any]) -> dict[str, Any]:
    """A live object as somebody would apply it: without what the API server or `kubectl apply` wrote into it."""
    metadata = {name: live["metadata"][name] for name in ("name", "namespace", "labels") if name in live["metadata"]}
    annotations = {
        name: text
        for name, text in (live["metadata"].get("annotations") or {}).items()
        if name != "kubectl.kubernetes.io/last-applied-configuration"
    }
    rest = {name: value for name, value in live.items() if name not in ("metadata", "status")}
    return {**rest, "metadata": metadata | ({"annotations": annotations} if annotations else {})}
