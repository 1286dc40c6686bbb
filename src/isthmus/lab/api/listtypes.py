"""How lists and maps of built-in kinds merge: facts of the Kubernetes API that its OpenAPI document carries.

A list is a map of its items by some keys, a set of scalars, or atomic. It is known by the names of the fields that lead
to it, the shortest suffix that tells it apart, so that one table serves pods, templates and all that embeds them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

Path = tuple[str, ...]
"""Field names from the root of the object; items of lists add nothing."""


@dataclass(frozen=True)
class Keyed:
    """A list whose items are known by these fields; a missing field counts as its default.

    Strategic merge patches go by the first.
    """

    keys: tuple[str, ...]
    defaults: Mapping[str, Any]


@dataclass(frozen=True)
class SetOf:
    """A list of distinct scalars. `in_patches`: strategic merge adds to it instead of replacing it."""

    in_patches: bool = True


@dataclass(frozen=True)
class Atomic:
    """Replaced as a whole, owned as a whole."""


Shape = Keyed | SetOf | Atomic | None
"""None: an ordinary map whose fields merge one by one."""

ATOMIC: Final = Atomic()


class Shapes(Protocol):
    """What a kind's fields merge like."""

    def of(self, path: Path, value: Any) -> Shape:
        """The shape of the list or map found at `path`."""
        ...


def _keyed(*keys: str, **defaults: Any) -> Keyed:
    return Keyed(keys, defaults)


_LISTS: Final[dict[Path, Shape]] = {
    ("containers",): _keyed("name"),
    ("initContainers",): _keyed("name"),
    ("ephemeralContainers",): _keyed("name"),
    ("env",): _keyed("name"),
    ("volumes",): _keyed("name"),
    ("imagePullSecrets",): _keyed("name"),
    ("secrets",): _keyed("name"),
    ("webhooks",): _keyed("name"),
    ("resourceClaims",): _keyed("name"),
    ("readinessGates",): ATOMIC,
    ("volumeMounts",): _keyed("mountPath"),
    ("volumeDevices",): _keyed("devicePath"),
    ("hostAliases",): _keyed("ip"),
    ("topologySpreadConstraints",): _keyed("topologyKey", "whenUnsatisfiable"),
    ("containers", "ports"): _keyed("containerPort", "protocol", protocol="TCP"),
    ("initContainers", "ports"): _keyed("containerPort", "protocol", protocol="TCP"),
    ("Service", "spec", "ports"): _keyed("port", "protocol", protocol="TCP"),
    ("volumeClaimTemplates",): ATOMIC,
    ("ownerReferences",): _keyed("uid"),
    ("metadata", "finalizers"): SetOf(),
    ("Namespace", "spec", "finalizers"): ATOMIC,
    ("conditions",): _keyed("type"),
    ("podIPs",): _keyed("ip"),
    ("hostIPs",): _keyed("ip"),
    ("Node", "status", "addresses"): _keyed("type"),
    ("loadBalancerSourceRanges",): ATOMIC,
    ("taints",): _keyed("key"),
    ("matchConditions",): _keyed("name"),
}

_ATOMIC_MAPS: Final = frozenset(
    {
        ("Service", "spec", "selector"),
        ("ReplicationController", "spec", "selector"),
        ("nodeSelector",),
        ("labelSelector",),
        ("namespaceSelector",),
        ("objectSelector",),
        ("Deployment", "spec", "selector"),
        ("ReplicaSet", "spec", "selector"),
        ("StatefulSet", "spec", "selector"),
        ("DaemonSet", "spec", "selector"),
        ("Job", "spec", "selector"),
        ("PodDisruptionBudget", "spec", "selector"),
        ("fieldRef",),
        ("resourceFieldRef",),
        ("configMapKeyRef",),
        ("secretKeyRef",),
        ("secretRef",),
        ("roleRef",),
        ("targetRef",),
    }
)
"""Owned as a whole by server-side apply; strategic merge patches still merge them field by field."""

_LONGEST: Final = 3


class BuiltInShapes:
    """The shapes of one built-in kind."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def of(self, path: Path, value: Any) -> Shape:
        full = (self._kind, *path)
        suffixes = [full[-length:] for length in range(min(_LONGEST, len(full)), 0, -1)]
        if isinstance(value, dict):
            return ATOMIC if any(suffix in _ATOMIC_MAPS for suffix in suffixes) else None
        return next((_LISTS[suffix] for suffix in suffixes if suffix in _LISTS), ATOMIC)


class SchemaShapes:
    """The shapes a custom resource's schema declares; metadata is that of every object."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema

    def of(self, path: Path, value: Any) -> Shape:
        if path[:1] == ("metadata",):
            return BuiltInShapes("").of(path, value)
        schema = self._at(path)
        if isinstance(value, dict):
            return ATOMIC if schema.get("x-kubernetes-map-type") == "atomic" else None
        match schema.get("x-kubernetes-list-type"):
            case "map":
                keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
                properties = (schema.get("items") or {}).get("properties") or {}
                defaults = {key: properties[key]["default"] for key in keys if "default" in properties.get(key, {})}
                return Keyed(keys, defaults) if keys else ATOMIC
            case "set":
                return SetOf(in_patches=False)
            case _:
                return ATOMIC

    def _at(self, path: Path) -> Mapping[str, Any]:
        schema = self._schema
        for step in path:
            if schema.get("type") == "array":
                schema = schema.get("items") or {}
            found = (schema.get("properties") or {}).get(step, schema.get("additionalProperties"))
            schema = found if isinstance(found, dict) else {}
        return schema


def identity(shape: Keyed, item: Any) -> tuple[Any, ...] | None:
    """What an item of a keyed list is known by; None when it lacks a key."""
    if not isinstance(item, dict):
        return None
    values = tuple(item.get(key, shape.defaults.get(key)) for key in shape.keys)
    return None if any(value is None or isinstance(value, dict | list) for value in values) else values


def distinct(items: Sequence[Any]) -> list[Any]:
    """The items without repetition, in order; they need not be hashable."""
    found: list[Any] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found
