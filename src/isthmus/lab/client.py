"""A small Kubernetes client for the lab's own processes: one kubeconfig, plain dicts in and out.

The lab's controllers and kubelets are clients of the API like any other, so this speaks only what every API server
speaks: get, list, watch, create, update, patch, delete, and subresources.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import aiohttp
import msgspec

from isthmus.lab.access import Access, read_kubeconfig

Object = dict[str, Any]
"""A Kubernetes object as its JSON says it."""

JSON: Final = "application/json"
METADATA: Final = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST: Final = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

REQUEST_TIMEOUT: Final = 30.0
CONNECT_TIMEOUT: Final = 5.0
WATCH_GRACE: Final = 30.0
"""A watch that the server should have ended by now is taken for dead after this many more seconds."""


class Resource(NamedTuple):
    """A kind of object, by where it lives in the API."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, *(("namespaces", namespace) if namespace else ()), self.plural]
        return "/".join([*parts, *(part for part in (name, subresource) if part)])

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


PODS: Final = Resource("", "v1", "pods")
NODES: Final = Resource("", "v1", "nodes")
SERVICES: Final = Resource("", "v1", "services")
SECRETS: Final = Resource("", "v1", "secrets")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps")
NAMESPACES: Final = Resource("", "v1", "namespaces")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts")
EVENTS: Final = Resource("", "v1", "events")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io", "v1", "endpointslices")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments")
REPLICA_SETS: Final = Resource("apps", "v1", "replicasets")
STATEFUL_SETS: Final = Resource("apps", "v1", "statefulsets")
DAEMON_SETS: Final = Resource("apps", "v1", "daemonsets")
JOBS: Final = Resource("batch", "v1", "jobs")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases")


class Patch(StrEnum):
    """How the body of a patch is to be understood."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class ApiError(Exception):
    """The API server refused a request; the text is what it said."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message or f"the API server answered {code} {reason}")
        self.code = code
        self.reason = reason


class NotFoundError(ApiError):
    """404: the object, or its kind, does not exist."""


class ConflictError(ApiError):
    """409: the object exists already, or has changed since it was read."""


class GoneError(ApiError):
    """410: the resource version is too old to watch from."""


_ERRORS: Final[Mapping[int, type[ApiError]]] = {404: NotFoundError, 409: ConflictError, 410: GoneError}


def api_error(status: Mapping[str, Any], code: int = 0) -> ApiError:
    """The error that a `Status` object stands for."""
    number = int(status.get("code") or code or 500)
    return _ERRORS.get(number, ApiError)(number, str(status.get("reason", "")), str(status.get("message", "")))


@dataclass(frozen=True, slots=True)
class ObjectList:
    """What a list returned, and the version to watch from."""

    items: list[Object]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


class Client:
    """One API server. Use as an async context manager; safe to share between tasks."""

    def __init__(self, access: Access) -> None:
        self._access = access
        headers = {"User-Agent": "isthmus-lab"}
        if access.token:
            headers["Authorization"] = f"Bearer {access.token}"
        self._session = aiohttp.ClientSession(
            base_url=access.server,
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0, ssl=access.tls),
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT, sock_connect=CONNECT_TIMEOUT),
            json_serialize=lambda value: msgspec.json.encode(value).decode(),
        )

    @classmethod
    def from_kubeconfig(cls, path: Path | str, context: str = "") -> Self:
        """A client for a context of a kubeconfig file. Must be called inside a running event loop."""
        return cls(read_kubeconfig(Path(path), context))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        return await self._request("GET", resource.path(namespace, name, subresource))

    async def find(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        """`get`, with None for an object that does not exist."""
        try:
            return await self.get(resource, name, namespace)
        except NotFoundError:
            return None

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
    ) -> ObjectList:
        """Every object of a kind, in one namespace or ("") in all; each item says its own kind."""
        params = _selectors(label_selector, field_selector)
        accept = METADATA_LIST if metadata_only else JSON
        body = await self._request("GET", resource.path(namespace), params=params, accept=accept)
        kind, version = str(body.get("kind", "")).removesuffix("List"), body.get("apiVersion", "")
        items = [{"kind": kind, "apiVersion": version, **item} for item in body.get("items") or ()]
        return ObjectList(items, str(body.get("metadata", {}).get("resourceVersion", "")))

    async def create(
        self, resource: Resource, body: Object, namespace: str = "", *, name: str = "", subresource: str = ""
    ) -> Object:
        """Create `body` in its own namespace, or post to a subresource (`name` and `subresource`), e.g. a token."""
        place = namespace or body.get("metadata", {}).get("namespace", "")
        return await self._request("POST", resource.path(place, name, subresource), body=body)

    async def update(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        """Replace an object; a stale `resourceVersion` is a ConflictError."""
        metadata = body["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"], subresource)
        return await self._request("PUT", path, body=body)

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Any,
        namespace: str = "",
        *,
        how: Patch = Patch.MERGE,
        subresource: str = "",
        force: bool = False,
    ) -> Object:
        params = {"fieldManager": "isthmus-lab"} | ({"force": "true"} if force else {})
        path = resource.path(namespace, name, subresource)
        return await self._request("PATCH", path, body=body, content_type=how.value, params=params)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        propagation: str = "",
        grace_period: int | None = None,
        uid: str = "",
    ) -> Object:
        """Delete an object; with `uid`, only that very object and not a namesake made since."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if propagation:
            options["propagationPolicy"] = propagation
        if grace_period is not None:
            options["gracePeriodSeconds"] = grace_period
        if uid:
            options["preconditions"] = {"uid": uid}
        return await self._request("DELETE", resource.path(namespace, name), body=options)

    async def delete_all(self, resource: Resource, namespace: str) -> None:
        """Delete every object of a kind in a namespace."""
        await self._request("DELETE", resource.path(namespace))

    async def raw(self, path: str) -> Object:
        """GET any path of the API, such as `/apis` or `/version`."""
        return await self._request("GET", path)

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        timeout: int = 300,
    ) -> AsyncIterator[Event]:
        """Events since `resource_version` until the server ends the watch; GoneError when that is too long ago."""
        params = _selectors(label_selector, field_selector) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout),
        }
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=timeout + WATCH_GRACE)
        headers = {"Accept": METADATA if metadata_only else JSON}
        path = resource.path(namespace)
        async with self._session.get(path, params=params, timeout=limits, headers=headers) as response:
            if response.status >= 400:
                raise await _refusal(response)
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield _event(line)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = "application/json",
        params: Mapping[str, str] | None = None,
        accept: str = JSON,
    ) -> Object:
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Accept": accept} | ({} if body is None else {"Content-Type": content_type})
        async with self._session.request(method, path, data=data, headers=headers, params=params) as response:
            if response.status >= 400:
                raise await _refusal(response)
            return msgspec.json.decode(await response.read(), type=Object)


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return ({"labelSelector": labels} if labels else {}) | ({"fieldSelector": fields} if fields else {})


def _event(line: bytes) -> Event:
    event = msgspec.json.decode(line)
    if event["type"] == "ERROR":
        raise api_error(event["object"])
    return Event(event["type"], event["object"])


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    text = await response.read()
    try:
        status = msgspec.json.decode(text, type=Object)
    except msgspec.DecodeError:
        status = {"message": text.decode(errors="replace")[:500], "reason": response.reason or ""}
    return api_error(status, response.status)
