"""A container's environment variables, from its pod and from the config maps and secrets it names."""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from isthmus.lab.client import Object

Lookup = Callable[[str, str], Object | None]
"""A config map or secret: its kind and name, in the pod's namespace."""

API_VIP: Final = "10.96.0.1"
_REFERENCE: Final = re.compile(r"\$(\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")
_SUBSCRIPT: Final = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]$")
_NAME: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*$")
_UNITS: Final = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class ConfigError(Exception):
    """The container cannot be configured as its pod says; the text is what `kubectl describe` shows."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by what is known; `$$` is a dollar sign; unknown references stay."""

    def replace(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return variables.get(match[2], match[0])

    return _REFERENCE.sub(replace, text)


def api_environment() -> dict[str, str]:
    """Where the API server is, as every container is told."""
    tcp = f"tcp://{API_VIP}:443"
    return {
        "KUBERNETES_SERVICE_HOST": API_VIP,
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
        "KUBERNETES_PORT": tcp,
        "KUBERNETES_PORT_443_TCP": tcp,
        "KUBERNETES_PORT_443_TCP_ADDR": API_VIP,
        "KUBERNETES_PORT_443_TCP_PORT": "443",
        "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
    }


def variables_of(pod: Object, container: Mapping[str, Any], lookup: Lookup) -> dict[str, str]:
    """What `env` and `envFrom` say. The pod's status must hold its addresses. Raises ConfigError."""
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        found |= _all_of(source, lookup)
    known = api_environment() | found
    for entry in container.get("env") or ():
        value = _value(pod, container, entry, known, lookup)
        if value is not None:
            found[entry["name"]] = known[entry["name"]] = value
    return found


def _value(
    pod: Object, container: Mapping[str, Any], entry: Mapping[str, Any], known: Mapping[str, str], lookup: Lookup
) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return expand(entry.get("value") or "", known)
    if reference := source.get("fieldRef"):
        return field(pod, reference["fieldPath"])
    if reference := source.get("resourceFieldRef"):
        return resource(pod["spec"], container, reference)
    if reference := source.get("configMapKeyRef"):
        return _key("ConfigMap", reference, lookup)
    if reference := source.get("secretKeyRef"):
        return _key("Secret", reference, lookup)
    raise ConfigError(f"variable {entry['name']}: valueFrom names no source that the lab knows")


def data_of(item: Object) -> dict[str, bytes]:
    """The contents of a config map or secret."""
    if item.get("kind") == "Secret":
        return {key: base64.b64decode(value) for key, value in (item.get("data") or {}).items()}
    text = {key: value.encode() for key, value in (item.get("data") or {}).items()}
    return text | {key: base64.b64decode(value) for key, value in (item.get("binaryData") or {}).items()}


def find(kind: str, name: str, lookup: Lookup, *, optional: bool) -> dict[str, bytes] | None:
    """The contents of the config map or secret `name`; None when it does not exist and need not."""
    item = lookup(kind, name)
    if item is not None:
        return data_of(item if item.get("kind") else {**item, "kind": kind})
    if optional:
        return None
    raise ConfigError(f'{kind.lower()} "{name}" not found')


def _key(kind: str, reference: Mapping[str, Any], lookup: Lookup) -> str | None:
    name, key, optional = reference.get("name", ""), reference["key"], bool(reference.get("optional"))
    data = find(kind, name, lookup, optional=optional)
    if data is None:
        return None
    if key not in data:
        if optional:
            return None
        raise ConfigError(f"couldn't find key {key} in {kind} {name}")
    return data[key].decode(errors="replace")


def _all_of(source: Mapping[str, Any], lookup: Lookup) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for kind, reference in (("ConfigMap", source.get("configMapRef")), ("Secret", source.get("secretRef"))):
        if reference:
            data = find(kind, reference.get("name", ""), lookup, optional=bool(reference.get("optional")))
            pairs = ((prefix + key, value.decode(errors="replace")) for key, value in (data or {}).items())
            return {name: value for name, value in pairs if _NAME.match(name)}
    return {}


def field(pod: Object, path: str) -> str:
    """What the downward API says at a field path. Raises ConfigError for a path it does not have."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    if match := _SUBSCRIPT.match(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        pairs = (metadata.get(path.partition(".")[2]) or {}).items()
        return "\n".join(f'{key}="{_quote(value)}"' for key, value in sorted(pairs))
    values = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata.get("namespace", "default"),
        "metadata.uid": metadata.get("uid", ""),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName") or "default",
        "status.hostIP": status.get("hostIP", ""),
        "status.hostIPs": status.get("hostIP", ""),
        "status.podIP": status.get("podIP", ""),
        "status.podIPs": status.get("podIP", ""),
    }
    if path not in values:
        raise ConfigError(f"field path {path!r} is not one of the downward API: {', '.join(sorted(values))}")
    return str(values[path])


def _quote(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


_CAPACITY: Final = {"cpu": 2.0, "memory": float(2**32), "ephemeral-storage": float(2**34)}


def resource(spec: Mapping[str, Any], container: Mapping[str, Any], reference: Mapping[str, Any]) -> str:
    """A limit or request of a container, in units of the divisor and rounded up; without a limit, what a node has."""
    name = reference.get("containerName") or container.get("name")
    containers: list[Mapping[str, Any]] = [*spec["containers"], *(spec.get("initContainers") or ())]
    owner: Mapping[str, Any] = next((one for one in containers if one["name"] == name), {})
    section, _, quantity = str(reference["resource"]).partition(".")
    resources = owner.get("resources") or {}
    text = (resources.get(section) or {}).get(quantity) or (resources.get("limits") or {}).get(quantity)
    value = amount(str(text)) if text is not None else _CAPACITY.get(quantity, 0.0)
    divisor = amount(str(reference.get("divisor") or "1")) or 1.0
    return str(int(-(-value // divisor)))


def amount(quantity: str) -> float:
    """A Kubernetes quantity as a number: `500m`, `1Gi`, `2`."""
    for suffix in sorted(_UNITS, key=len, reverse=True):
        if quantity.endswith(suffix):
            return float(quantity.removesuffix(suffix)) * _UNITS[suffix]
    return float(quantity)
