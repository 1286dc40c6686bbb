"""Whatever is there, the diff leads to what should be there, and touches nothing that is not ours."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus import names
from isthmus.kube.meta import Key
from isthmus.multicluster import mirrors
from isthmus.multicluster.diff import Create, Delete, Patch, diff
from isthmus.multicluster.objects import SERVICES, Service, Slice, is_mirror
from isthmus.multicluster.plans import NOTHING, Export, Plan

from .values import gateway, link, service

Store = dict[Key, Any]
SERVICE_NAMES = st.sampled_from(["backend", "web", "web-east"])
TARGETS = st.sampled_from(["east", "north"])
LABELS = st.dictionaries(st.sampled_from(["app", "team", "mirror.linkerd.io/x"]), st.sampled_from("ab"), max_size=2)
EXPORTS = st.lists(
    st.builds(
        lambda name, labels, annotations, version, ready: Export(
            service(name, labels=labels, annotations=annotations, version=version), ready
        ),
        SERVICE_NAMES,
        LABELS,
        LABELS,
        st.sampled_from("123"),
        st.booleans(),
    ),
    max_size=3,
    unique_by=lambda export: export.service.key,
)
GATEWAYS = st.one_of(st.none(), st.builds(gateway, st.sampled_from(["1.1.1.1", "::1"]), alive=st.booleans()))


def plan(target: str, exports: list[Export], way: Any, local: Store) -> Plan:
    return mirrors.plan(link(target), exports, gateway=way, local=local, namespaces={"default", "linkerd-multicluster"})


@st.composite
def clusters(draw: st.DrawFn) -> tuple[Store, Store]:
    """Services and slices of a cluster with users' services, mirrors of two targets, and tampered objects."""
    services: Store = {}
    slices: Store = {}
    for name in draw(st.lists(st.sampled_from(["backend", "backend-east", "web-east"]), unique=True)):
        own = service(name, labels=draw(LABELS))
        services[own.key] = own
    for target in ("east", "north"):
        made = plan(target, draw(EXPORTS), draw(GATEWAYS), services)
        services |= {key: tampered(draw, item) for key, item in made.services.items()}
        slices |= made.slices
    for key in draw(st.lists(st.sampled_from(sorted(slices)), max_size=2)) if slices else ():
        slices.pop(key, None)
    return services, slices


def tampered(draw: st.DrawFn, item: Service) -> Service:
    spec = draw(st.sampled_from([item.spec, msgspec.structs.replace(item.spec, ports=(), selector={"a": "b"})]))
    return msgspec.structs.replace(item, spec=spec)


@settings(max_examples=50, deadline=None)
@given(target=TARGETS, cluster=clusters(), exports=EXPORTS, way=GATEWAYS)
def test_applying_the_diff_reaches_the_plan_and_then_rests(
    target: str, cluster: tuple[Store, Store], exports: list[Export], way: Any
) -> None:
    services, slices = cluster
    desired = plan(target, exports, way, services)
    foreign = [{key: item for key, item in store.items() if not is_mirror(item, target)} for store in cluster]
    for action in diff(desired, target, services=services, slices=slices):
        perform(action, services if action.kind is SERVICES else slices)
    mine = {key: item for key, item in services.items() if is_mirror(item, target)}
    assert mine.keys() == desired.services.keys()
    for key, item in desired.services.items():
        assert mine[key].spec == item.spec
        assert mine[key].metadata.labels.items() >= item.metadata.labels.items()
        assert mine[key].metadata.annotations.items() >= item.metadata.annotations.items()
    assert {key: item for key, item in slices.items() if is_mirror(item, target)} == desired.slices
    for store, before in zip((services, slices), foreign, strict=True):
        assert {key: item for key, item in store.items() if not is_mirror(item, target)} == before
    assert diff(desired, target, services=services, slices=slices) == []


def perform(action: Create | Patch | Delete, store: Store) -> None:
    """What an API server does."""
    if isinstance(action, Delete):
        del store[action.key]
        return
    if isinstance(action, Create):
        assert action.key not in store
        made: Any = action.body
    else:
        made = merge(msgspec.to_builtins(store[action.key]), action.body)
    kind = Service if action.kind is SERVICES else Slice
    store[action.key] = msgspec.convert(made, kind)


def merge(old: Any, change: Any) -> Any:
    """RFC 7386."""
    if not isinstance(change, dict):
        return change
    merged = dict(old) if isinstance(old, dict) else {}
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def mirrored(**content: Any) -> tuple[Plan, Store, Store]:
    made = plan("east", [Export(service(**content), True)], gateway(), {})
    return made, dict(made.services), dict(made.slices)


def test_labels_that_the_service_lost_are_removed_from_the_mirror() -> None:
    _, services, slices = mirrored(labels={"app": "a", "old": "x"}, version="1")
    desired, _, _ = mirrored(labels={"app": "a"}, version="2")
    (action,) = diff(desired, "east", services=services, slices=slices)
    assert isinstance(action, Patch)
    assert action.body["metadata"]["labels"] == {"old": None}


def test_what_a_webhook_added_to_a_mirror_is_not_fought_over() -> None:
    desired, services, slices = mirrored()
    key = ("default", "backend-east")
    meta = services[key].metadata
    annotated = msgspec.structs.replace(meta, annotations={**meta.annotations, names.OPAQUE_PORTS_ANNOTATION: "1"})
    services[key] = msgspec.structs.replace(services[key], metadata=annotated)
    assert diff(desired, "east", services=services, slices=slices) == []


def test_unlinking_deletes_all_of_this_cluster_and_nothing_of_another() -> None:
    _, services, slices = mirrored()
    other = plan("north", [Export(service(), True)], gateway(), {})
    actions = diff(NOTHING, "east", services={**services, **other.services}, slices={**slices, **other.slices})
    assert {action.key[1] for action in actions} == {"backend-east", "probe-east"}
    assert all(isinstance(action, Delete) for action in actions)
    assert len(actions) == 4
