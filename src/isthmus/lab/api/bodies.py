"""What a request is about, how it wants to write, and its body as an object of the right kind."""

from dataclasses import dataclass
from typing import Any

from isthmus.lab.api.contracts import Object, ResourceInfo, User
from isthmus.lab.api.conversion import converted
from isthmus.lab.api.status import bad_request


@dataclass(frozen=True)
class Target:
    """What a request is about."""

    info: ResourceInfo
    namespace: str
    name: str
    subresource: str = ""

    @property
    def kind(self) -> tuple[str, str]:
        return self.info.stored


@dataclass(frozen=True)
class Options:
    """How a request wants to write."""

    user: User
    manager: str = "unknown"
    dry_run: bool = False
    force: bool = False
    unknown: str = "Ignore"
    """What becomes of fields that the kind does not have: they are left out, with `Warn` or `Strict` not in silence."""


def accept(target: Target, body: Any) -> Object:
    """A request's body as an object of the target's kind; raises `ApiError` 400 for anything else."""
    info = target.info
    if not isinstance(body, dict):
        raise bad_request("the body of the request is not an object")
    if info.custom and not body.get("kind"):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {info.kind}): Object 'Kind' is missing"
        )
    kind = body.get("kind", info.kind)
    api_version = body.get("apiVersion", info.api_version)
    if kind != info.kind or api_version != info.api_version:
        raise bad_request(
            f"the object provided is {api_version} {kind}, and this path serves {info.api_version} {info.kind}"
        )
    metadata = body.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise bad_request("metadata is not an object")
    metadata = {key: value for key, value in metadata.items() if value is not None}
    for field in ("name", "generateName", "namespace"):
        if not isinstance(metadata.get(field, ""), str):
            raise bad_request(f"the metadata.{field} of the provided object is not a string")
    namespace = metadata.get("namespace") or target.namespace
    if info.namespaced:
        if namespace != target.namespace:
            raise bad_request(
                f"the namespace of the provided object does not match the namespace sent on the request: "
                f"{namespace} is not {target.namespace}"
            )
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    if target.name:
        name = metadata.get("name") or target.name
        if name != target.name:
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
        metadata["name"] = name
    return {"kind": info.kind, "apiVersion": info.api_version} | body | {"metadata": metadata}


def served(info: ResourceInfo, obj: Object) -> Object:
    """A stored object in the version it was asked for."""
    return obj if obj.get("apiVersion") == info.api_version else converted(obj, info.api_version)


def with_metadata(obj: Object, **fields: Any) -> Object:
    """A copy with some fields of its metadata set."""
    return obj | {"metadata": obj["metadata"] | fields}


def without_nulls(value: Any) -> Any:
    """The value without fields that are null: built-in kinds cannot tell them from absent ones."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
