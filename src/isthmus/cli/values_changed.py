"""What installing over an installation changes of its values: those that are not given again go back to defaults."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import yaml

from isthmus import names
from isthmus.kube import errors
from isthmus.kube.kinds import Object, plain

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient


def config_of(client: "SyncClient") -> Object:
    """The ConfigMap `linkerd-config`; empty where there is none."""
    try:
        return client.get(plain("v1", "ConfigMap", "configmaps"), names.CONFIG_MAP, names.CONTROL_PLANE_NAMESPACE)
    except errors.NotFound:
        return {}


def changed_values(before: Object, after: Mapping[str, Any]) -> list[str]:
    """A line for each value of the ConfigMap `linkerd-config` that will be another; none of what cannot be read."""
    try:
        kept = yaml.safe_load(before["data"]["values"])
    except (KeyError, TypeError, yaml.YAMLError):
        return []
    new = dict(_flat(after))
    return [
        f"{name}: {_shown(old)} -> {_shown(new[name])}" for name, old in _flat(kept) if name in new and new[name] != old
    ]


def _flat(tree: object, at: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(tree, Mapping) or (at and not tree):
        yield at, tree
        return
    for name, inner in tree.items():
        yield from _flat(inner, f"{at}.{name}" if at else str(name))


def _shown(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, default=str)
