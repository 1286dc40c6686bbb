"""CustomResourceDefinitions: what they add to the registry, their status, and the schemas of their versions."""

from collections.abc import Mapping
from typing import Any, Final

from isthmus.lab import stamps
from isthmus.lab.api import celrules
from isthmus.lab.api.contracts import Object, ResourceInfo
from isthmus.lab.api.registry import Registry

GROUP: Final = "apiextensions.k8s.io"
RESOURCE: Final = "customresourcedefinitions"
CRD: Final = (GROUP, RESOURCE)

_ESTABLISHED: Final = (
    ("NamesAccepted", "NoConflicts", "no conflicts found"),
    ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
)


def completed(crd: Object) -> Object:
    """A definition with the defaults of its names and scope filled in."""
    spec = dict(crd.get("spec") or {})
    names = dict(spec.get("names") or {})
    kind = str(names.get("kind", ""))
    names.setdefault("singular", kind.lower())
    names.setdefault("listKind", f"{kind}List")
    spec["names"] = names
    spec.setdefault("conversion", {"strategy": "None"})
    return crd | {"spec": spec}


def problems(crd: Object) -> list[tuple[str, str]]:
    """What keeps a definition from being served, as (field, what is wrong)."""
    spec = crd.get("spec") or {}
    names = spec.get("names") or {}
    found = [
        (f"spec.{path}", "Required value")
        for path, value in (
            ("group", spec.get("group")),
            ("scope", spec.get("scope")),
            ("names.plural", names.get("plural")),
            ("names.kind", names.get("kind")),
            ("versions", spec.get("versions")),
        )
        if not value
    ]
    if found:
        return found
    wanted = f"{names['plural']}.{spec['group']}"
    if crd["metadata"]["name"] != wanted:
        found.append(
            ("metadata.name", f'Invalid value: "{crd["metadata"]["name"]}": must be spec.names.plural+"."+spec.group')
        )
    if spec["scope"] not in ("Namespaced", "Cluster"):
        found.append(("spec.scope", f'Unsupported value: "{spec["scope"]}": supported values: "Cluster", "Namespaced"'))
    if sum(1 for version in spec["versions"] if version.get("storage")) != 1:
        found.append(("spec.versions", "Invalid value: must have exactly one version marked as storage version"))
    found += [
        (f"spec.versions[{index}].schema.openAPIV3Schema", "Required value: schemas are required")
        for index, version in enumerate(spec["versions"])
        if not (version.get("schema") or {}).get("openAPIV3Schema")
    ]
    return found


def established(crd: Object) -> Object:
    """The definition with the status of one that is served."""
    status = dict(crd.get("status") or {})
    have = {condition["type"]: condition for condition in status.get("conditions") or []}
    now = stamps.now()
    conditions = [
        have.get(kind)
        or {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}
        for kind, reason, message in _ESTABLISHED
    ]
    storage = next(version["name"] for version in crd["spec"]["versions"] if version.get("storage"))
    stored = list(dict.fromkeys([*(status.get("storedVersions") or []), storage]))
    return crd | {
        "status": status | {"conditions": conditions, "acceptedNames": crd["spec"]["names"], "storedVersions": stored}
    }


def resources(crd: Object) -> tuple[ResourceInfo, ...]:
    """The resources a definition adds, storage version first."""
    spec = crd["spec"]
    names = spec["names"]
    versions = sorted(
        (version for version in spec["versions"] if version.get("served")),
        key=lambda version: not version.get("storage"),
    )
    return tuple(
        ResourceInfo(
            group=spec["group"],
            version=version["name"],
            resource=names["plural"],
            kind=names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            singular=names.get("singular", ""),
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=tuple(name for name in ("status", "scale") if name in (version.get("subresources") or {})),
            custom=True,
        )
        for version in versions
    )


class Definitions:
    """The definitions being served, kept in step with the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._versions: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        self._ruled: set[tuple[str, str, str]] = set()

    def serve(self, crd: Object) -> None:
        """Serve a definition as it is now."""
        self.end(crd)
        spec = crd["spec"]
        for version in spec["versions"]:
            key = (spec["group"], version["name"], spec["names"]["plural"])
            self._versions[key] = version
            if celrules.present((version.get("schema") or {}).get("openAPIV3Schema")):
                self._ruled.add(key)
        self._registry.define(crd["metadata"]["name"], resources(crd))

    def end(self, crd: Object) -> None:
        """Stop serving what a definition described."""
        spec = crd["spec"]
        gone = [key for key in self._versions if (key[0], key[2]) == (spec["group"], spec["names"]["plural"])]
        for key in gone:
            del self._versions[key]
            self._ruled.discard(key)
        self._registry.define(crd["metadata"]["name"], ())

    def schema(self, info: ResourceInfo) -> Object | None:
        """The OpenAPI schema of a custom resource's version; None for built-in ones."""
        version = self._versions.get((info.group, info.version, info.resource))
        found = ((version or {}).get("schema") or {}).get("openAPIV3Schema")
        return found if isinstance(found, dict) else None

    def deprecation(self, info: ResourceInfo) -> list[str]:
        """What whoever uses a version that is deprecated is told."""
        version = self._versions.get((info.group, info.version, info.resource)) or {}
        if not version.get("deprecated"):
            return []
        return [str(version.get("deprecationWarning") or f"{info.api_version} {info.kind} is deprecated")]

    def ruled(self, info: ResourceInfo) -> bool:
        """Whether the schema has rules in CEL."""
        return (info.group, info.version, info.resource) in self._ruled

    def selectable(self, info: ResourceInfo) -> Mapping[str, tuple[str, ...]]:
        """The fields that field selectors may name, with where they are."""
        version = self._versions.get((info.group, info.version, info.resource)) or {}
        paths = [str(field.get("jsonPath", "")) for field in version.get("selectableFields") or ()]
        return {path.lstrip("."): tuple(path.lstrip(".").split(".")) for path in paths}

    def printer_columns(self, info: ResourceInfo) -> list[Object]:
        version = self._versions.get((info.group, info.version, info.resource)) or {}
        return list(version.get("additionalPrinterColumns") or [])

    def scale_paths(self, info: ResourceInfo) -> Mapping[str, str]:
        version = self._versions.get((info.group, info.version, info.resource)) or {}
        found = (version.get("subresources") or {}).get("scale")
        return found if isinstance(found, dict) else {}
