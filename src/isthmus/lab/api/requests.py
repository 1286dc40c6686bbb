"""What a request asks for, read from its path, query and headers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import yaml
from aiohttp import web

from isthmus.lab.api import protobuf
from isthmus.lab.api.status import bad_request, invalid_options, unsupported_media_type

PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
PATCHES: Final = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
BODIES: Final = ("application/json", "application/yaml", PROTOBUF)

_MOST_PARTS: Final = 1_000_000
"""Of one YAML document. With aliases a few hundred bytes of it could fill the memory."""
_LONGEST_NUMBER: Final = 30
_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}


@dataclass(frozen=True)
class Address:
    """The parts of a resource path."""

    group: str
    version: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""


def address(path: str) -> Address | None:
    """The resource a path names; None for paths that are not of that form."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    of_namespace_itself = rest[2:3] in (["status"], ["finalize"]) and len(rest) == 3
    if rest[0] == "namespaces" and len(rest) > 2 and not of_namespace_itself:
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource, *more = [*rest, "", ""] if len(rest) < 3 else rest
    return Address(group, version, resource, namespace, name, subresource, "/".join(part for part in more if part))


def verb(request: web.Request, where: Address) -> str:
    """The verb authorization knows the request by."""
    found = _VERBS.get(request.method, request.method.lower())
    if where.name or found not in ("get", "delete"):
        return found
    if found == "delete":
        return "deletecollection"
    return "watch" if truth(request.query, "watch") else "list"


def truth(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name, "false").lower()
    if value not in ("true", "1", "false", "0", ""):
        raise bad_request(f'the query parameter {name} is neither true nor false: "{value}"')
    return value in ("true", "1")


def integer(query: Mapping[str, str], name: str) -> int | None:
    value = query.get(name)
    if value is None or value == "":
        return None
    if not value.isdecimal() or not value.isascii() or len(value) > _LONGEST_NUMBER:
        raise bad_request(f'the query parameter {name} is not a number: "{value[:_LONGEST_NUMBER]}"')
    return int(value)


def dry_run(query: Mapping[str, str]) -> bool:
    value = query.get("dryRun", "")
    if value not in ("", "All"):
        why = f'Unsupported value: "{value}": supported values: "All"'
        raise invalid_options("CreateOptions", [("dryRun", why)])
    return value == "All"


def strictness(query: Mapping[str, str]) -> str:
    """What becomes of fields that a kind does not have: `Strict` refuses, `Warn` says so, `Ignore` is silent."""
    value = query.get("fieldValidation") or "Warn"
    if value not in ("Strict", "Warn", "Ignore"):
        why = f'Unsupported value: "{value}": supported values: "Ignore", "Strict", "Warn"'
        raise invalid_options("CreateOptions", [("fieldValidation", why)])
    return value


def check_versions(query: Mapping[str, str], *, watching: bool) -> None:
    """Refuse what a list or watch may not ask of revisions; raises `ApiError` 422."""
    match, field = query.get("resourceVersionMatch", ""), "resourceVersionMatch"
    initial = "sendInitialEvents" in query
    wrong = ""
    if watching and initial and match != "NotOlderThan":
        wrong = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    elif watching and match and not initial:
        wrong = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
    elif not watching and initial:
        wrong, field = "Forbidden: sendInitialEvents is forbidden for list", "sendInitialEvents"
    elif match not in ("", "Exact", "NotOlderThan"):
        wrong = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan"'
    elif not watching and match and not query.get("resourceVersion"):
        wrong = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    elif match == "Exact" and query.get("resourceVersion") == "0":
        wrong = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
    if wrong:
        raise invalid_options("ListOptions", [(field, wrong)])


def content_type(request: web.Request) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def body(request: web.Request) -> Any:
    """The object in the body, whichever of the accepted encodings it has; None when there is none."""
    raw = await request.read()
    if not raw:
        return None
    kind = content_type(request)
    if kind == PROTOBUF or raw.startswith(protobuf.MAGIC):
        return protobuf.decode(raw)
    if kind in ("application/json", "application/octet-stream", "", "text/plain", "application/x-www-form-urlencoded"):
        return json_value(raw)
    if kind in ("application/yaml", "application/x-yaml", "text/yaml"):
        return yaml_value(raw)
    raise unsupported_media_type(kind, BODIES)


def json_value(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise bad_request(f"the body of the request is not valid JSON: {error}") from None


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: no dates, no octal or base-60 numbers, true and false only."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:timestamp",)]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def yaml_value(raw: bytes) -> Any:
    """The value in a YAML document, as JSON could have said it."""
    try:
        return _Plain().of(yaml.load(raw, Loader=_Loader))  # noqa: S506 (a subclass of the safe loader)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError):
        raise bad_request("the body of the request is not valid YAML") from None


class _Plain:
    """Writes out aliases, up to a limit, and turns what JSON does not have into what it has."""

    def __init__(self) -> None:
        self._parts = 0

    def of(self, value: Any) -> Any:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise bad_request("the body of the request is YAML with aliases that make it excessively large")
        if isinstance(value, dict):
            return {_key(key): self.of(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of(item) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            raise bad_request(f"the body of the request is YAML with a number that JSON does not have: {value}")
        if value is None or isinstance(value, str | int | float):
            return value
        raise bad_request(f"the body of the request is YAML with a {type(value).__name__}, which JSON does not have")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return str(key).lower()
    if isinstance(key, str | int | float):
        return str(key)
    raise bad_request(f"the body of the request is YAML with a key that is no string: {key}")


@dataclass(frozen=True)
class Wanted:
    """The representation a client asks for: `Table`, `PartialObjectMetadata` or plain."""

    kind: str = ""


def wanted(request: web.Request) -> Wanted:
    """The first representation in the Accept header that this server has."""
    for option in request.headers.get("Accept", "").split(","):
        media, *parameters = (part.strip() for part in option.split(";"))
        if media not in ("application/json", "*/*", "application/*"):
            continue
        named = dict(parameter.partition("=")[::2] for parameter in parameters)
        kind = named.get("as", "")
        if kind in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList", "APIGroupDiscoveryList"):
            return Wanted(kind.removesuffix("List") if kind.startswith("Partial") else kind)
        if not kind:
            return Wanted()
    return Wanted()


def discovery_version(request: web.Request) -> str:
    """`v2` or `v2beta1` when aggregated discovery is asked for, else empty."""
    for option in request.headers.get("Accept", "").split(","):
        named = dict(part.strip().partition("=")[::2] for part in option.split(";")[1:])
        if named.get("as") == "APIGroupDiscoveryList" and named.get("v") in ("v2", "v2beta1"):
            return named["v"]
    return ""


def authorized_address(request: web.Request, where: Address) -> Address:
    """What a request is authorized for: a list or watch of one name needs no more than that name.

    Kubernetes takes it from the field selector, so that roles with `resourceNames` can grant watching.
    """
    field, _, name = request.query.get("fieldSelector", "").partition("=")
    if where.name or field != "metadata.name" or "," in name:
        return where
    return replace(where, name=name.removeprefix("="))
