"""Desired objects against observed ones: the actions that turn the one into the other."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from isthmus import names
from isthmus.kube.kinds import Kind
from isthmus.kube.meta import Key, Meta
from isthmus.multicluster.objects import (
    SERVICES,
    SLICES,
    Service,
    Slice,
    body,
    is_federated,
    is_mirror,
    service_spec,
    slice_content,
)
from isthmus.multicluster.plans import Plan


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

_REVISIONS: Final = (names.REMOTE_RESOURCE_VERSION_ANNOTATION, names.SOURCE_ANNOTATION)
_OURS: Final = (names.MIRROR_PREFIX, names.DISCOVERY_PREFIX)


def diff(desired: Plan, target: str, *, services: Mapping[Key, Service], slices: Mapping[Key, Slice]) -> list[Action]:
    """Actions for one linked cluster, Services before their slices; objects that are not its mirrors stay untouched."""

    def ours(item: Service | Slice) -> bool:
        return is_mirror(item, target)

    return [
        *_actions(SERVICES, desired.services, services, ours),
        *_actions(SLICES, desired.slices, slices, ours),
    ]


def federated_diff(desired: Mapping[Key, Service], services: Mapping[Key, Service]) -> list[Action]:
    """Actions for all federated Services; all others stay untouched."""
    return list(_actions(SERVICES, desired, services, lambda item: isinstance(item, Service) and is_federated(item)))


def _actions(
    kind: Kind[Any],
    desired: Mapping[Key, Service] | Mapping[Key, Slice],
    observed: Mapping[Key, Service] | Mapping[Key, Slice],
    ours: Callable[[Service | Slice], bool],
) -> Iterator[Action]:
    for key, item in desired.items():
        existing = observed.get(key)
        if existing is None:
            yield Create(kind, key, body(item))
        elif not ours(existing):
            continue
        elif _is_headless(item) != _is_headless(existing):
            # Cannot be changed. What takes its place is created once it is seen to be gone.
            yield Delete(kind, key)
        elif change := _change(item, existing):
            yield Patch(kind, key, change)
    for key, existing in observed.items():
        if key not in desired and ours(existing):
            yield Delete(kind, key)


def _is_headless(item: Service | Slice) -> bool:
    return isinstance(item, Service) and item.headless


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
    mirror, and removing those each time would never come to rest. Those by which mirrors work are always exact.
    """
    exact = any(desired.annotations.get(name) != existing.annotations.get(name) for name in _REVISIONS)
    change = {
        "labels": _mapping_change(desired.labels, existing.labels, exact),
        "annotations": _mapping_change(desired.annotations, existing.annotations, exact),
    }
    return {name: part for name, part in change.items() if part}


def _mapping_change(desired: Mapping[str, str], existing: Mapping[str, str], exact: bool) -> dict[str, str | None]:
    change: dict[str, str | None] = {name: text for name, text in desired.items() if existing.get(name) != text}
    surplus = existing.keys() - desired.keys()
    return change | dict.fromkeys(name for name in surplus if exact or name.startswith(_OURS))
