"""Desired objects against observed ones: the actions that turn the one into the other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus import names
from isthmus.kube.kinds import Kind
from isthmus.kube.meta import Key, Meta
from isthmus.multicluster.mirrors import Plan
from isthmus.multicluster.objects import (
    SERVICES,
    SLICES,
    Service,
    Slice,
    body,
    is_mirror,
    service_spec,
    slice_content,
)


@dataclass(frozen=True, slots=True)
class Create:
    kind: Kind[Any]
    key: Key
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Patch:
    """A merge patch of an object that is ours."""

    kind: Kind[Any]
    key: Key
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    kind: Kind[Any]
    key: Key


Action = Create | Patch | Delete


def diff(desired: Plan, target: str, *, services: Mapping[Key, Service], slices: Mapping[Key, Slice]) -> list[Action]:
    """Actions for one linked cluster, Services before their slices; objects that are not its mirrors stay untouched."""
    return [
        *_actions(SERVICES, desired.services, services, target),
        *_actions(SLICES, desired.slices, slices, target),
    ]


def _actions(
    kind: Kind[Any],
    desired: Mapping[Key, Service] | Mapping[Key, Slice],
    observed: Mapping[Key, Service] | Mapping[Key, Slice],
    target: str,
) -> Iterator[Action]:
    for key, item in desired.items():
        existing = observed.get(key)
        if existing is None:
            yield Create(kind, key, body(item))
        elif is_mirror(existing, target) and (change := _change(item, existing)):
            yield Patch(kind, key, change)
    for key, existing in observed.items():
        if key not in desired and is_mirror(existing, target):
            yield Delete(kind, key)


def _change(item: Service | Slice, existing: Service | Slice) -> dict[str, Any]:
    change: dict[str, Any] = {}
    if metadata := _metadata_change(item.metadata, existing.metadata):
        change["metadata"] = metadata
    if isinstance(item, Service) and isinstance(existing, Service):
        spec: dict[str, Any] = {}
        if service_spec(item) != service_spec(existing):
            spec |= service_spec(item)
        if existing.spec.selector:
            spec["selector"] = None
        if spec:
            change["spec"] = spec
    elif isinstance(item, Slice) and isinstance(existing, Slice) and slice_content(item) != slice_content(existing):
        change |= slice_content(item)
    return change


def _metadata_change(desired: Meta, existing: Meta) -> dict[str, Any]:
    """What to write so that all desired labels and annotations are there.

    Others are removed when the remote service changed, and only then: an admission webhook may add its own to a
    mirror, and removing those each time would never come to rest.
    """
    revision = names.REMOTE_RESOURCE_VERSION_ANNOTATION
    exact = desired.annotations.get(revision) != existing.annotations.get(revision)
    change = {
        "labels": _mapping_change(desired.labels, existing.labels, exact),
        "annotations": _mapping_change(desired.annotations, existing.annotations, exact),
    }
    return {name: part for name, part in change.items() if part}


def _mapping_change(desired: Mapping[str, str], existing: Mapping[str, str], exact: bool) -> dict[str, str | None]:
    change: dict[str, str | None] = {name: text for name, text in desired.items() if existing.get(name) != text}
    if exact:
        change |= dict.fromkeys(existing.keys() - desired.keys())
    return change
