"""Discovery documents: which groups, versions and resources there are, plain and aggregated."""

from typing import Any

from isthmus.lab.api.contracts import Object, ResourceInfo
from isthmus.lab.api.registry import SUBRESOURCE_KINDS, Registry


def core_versions(address: str) -> Object:
    """`/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list(registry: Registry) -> Object:
    """`/apis`."""
    groups = [group(registry, name) for name in registry.groups() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str) -> Object | None:
    """`/apis/GROUP`; None when there is no such group."""
    versions = registry.groups().get(name)
    if not name or not versions:
        return None
    served = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": served, "preferredVersion": served[0]}


def resource_list(registry: Registry, group_name: str, version: str) -> Object | None:
    """`/api/v1` or `/apis/GROUP/VERSION`; None when there is no such version."""
    infos = registry.groups().get(group_name, {}).get(version)
    if not infos:
        return None
    resources = [entry for info in infos for entry in (_plain(info), *_plain_subresources(info))]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group_name}/{version}" if group_name else version,
        "resources": resources,
    }


def _plain(info: ResourceInfo) -> Object:
    entry: dict[str, Any] = {
        "name": info.resource,
        "singularName": info.singular,
        "namespaced": info.namespaced,
        "kind": info.kind,
        "verbs": list(info.verbs),
    }
    if info.short_names:
        entry["shortNames"] = list(info.short_names)
    if info.categories:
        entry["categories"] = list(info.categories)
    return entry


def _plain_subresources(info: ResourceInfo) -> list[Object]:
    entries = []
    for name in info.subresources:
        group_name, version, kind, verbs = SUBRESOURCE_KINDS[name]
        entry: Object = {
            "name": f"{info.resource}/{name}",
            "singularName": "",
            "namespaced": info.namespaced,
            "kind": kind or info.kind,
            "verbs": list(verbs),
        }
        if version:
            entry |= {"group": group_name, "version": version}
        entries.append(entry)
    return entries


def aggregated(registry: Registry, *, core: bool, version: str) -> Object:
    """`/api` or `/apis` as one `APIGroupDiscoveryList` (`version` is v2 or v2beta1)."""
    items = []
    for name, versions in registry.groups().items():
        if bool(name) == core:
            continue
        served = [
            {"version": served_version, "freshness": "Current", "resources": [_aggregate(info) for info in infos]}
            for served_version, infos in versions.items()
        ]
        items.append({"metadata": {"name": name, "creationTimestamp": None}, "versions": served})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _aggregate(info: ResourceInfo) -> Object:
    entry: dict[str, Any] = {
        "resource": info.resource,
        "responseKind": _kind(info.group, info.version, info.kind),
        "scope": "Namespaced" if info.namespaced else "Cluster",
        "singularResource": info.singular,
        "verbs": list(info.verbs),
    }
    if info.short_names:
        entry["shortNames"] = list(info.short_names)
    if info.categories:
        entry["categories"] = list(info.categories)
    if info.subresources:
        entry["subresources"] = [_aggregate_subresource(info, name) for name in info.subresources]
    return entry


def _aggregate_subresource(info: ResourceInfo, name: str) -> Object:
    group_name, version, kind, verbs = SUBRESOURCE_KINDS[name]
    shown = _kind(group_name, version, kind) if kind else _kind(info.group, info.version, info.kind)
    return {"subresource": name, "responseKind": shown, "verbs": list(verbs)}


def _kind(group_name: str, version: str, kind: str) -> Object:
    return {"group": group_name, "version": version, "kind": kind}
