"""Mirrors of headless services: every pod keeps its name."""

from typing import Any

import msgspec

from isthmus import names
from isthmus.kube.meta import Key
from isthmus.multicluster import mirrors
from isthmus.multicluster.diff import Create, Delete, diff
from isthmus.multicluster.objects import Port, Service, body
from isthmus.multicluster.plans import Export, Plan

from .test_diff import perform
from .values import gateway, link, service

NAMESPACES = frozenset({"default", "linkerd-multicluster"})
ROOT = ("default", "db-east")
FIRST = ("default", "db-0-east")


def export(hosts: dict[str, bool] | None, **content: Any) -> Export:
    return Export(service("db", headless=True, **content), bool(hosts), "gateway", hosts)


def plan(*exports: Export, local: dict[Key, Service] | None = None, **options: Any) -> Plan:
    return mirrors.plan(link(), exports, gateway=gateway(), local=local or {}, namespaces=NAMESPACES, **options)


def with_address(planned: Plan, key: Key, address: str) -> dict[Key, Service]:
    """The Services as they are once the API server has given this one its address."""
    item = planned.services[key]
    spec = msgspec.structs.replace(item.spec, cluster_ip=address)
    return {**planned.services, key: msgspec.structs.replace(item, spec=spec)}


def test_the_mirror_is_headless_and_each_pod_has_one_of_its_own() -> None:
    annotations = {names.OPAQUE_PORTS_ANNOTATION: "5432"}
    made = plan(export({"db-0": True, "db-1": False}, labels={"app": "db"}, annotations=annotations))
    assert body(made.services[ROOT])["spec"]["clusterIP"] == "None"
    pod = body(made.services[FIRST])
    assert "clusterIP" not in pod["spec"]
    assert pod["metadata"]["labels"] == {
        "mirror.linkerd.io/mirrored-service": "true",
        "mirror.linkerd.io/cluster-name": "east",
        "mirror.linkerd.io/headless-mirror-svc-name": "db-east",
    }
    assert (
        pod["metadata"]["annotations"].items()
        >= {
            "mirror.linkerd.io/remote-svc-fq-name": "db-0.db.default.svc.cluster.local",
            names.OPAQUE_PORTS_ANNOTATION: "5432",
        }.items()
    )
    ready = {key[1]: [end.conditions.ready for end in made.slices[key].endpoints or ()] for key in made.slices}
    assert (ready["db-0-east"], ready["db-1-east"], ready["db-east"]) == ([True], [], [])
    assert [outcome.local for outcome in made.outcomes] == [ROOT]


def test_a_name_resolves_to_the_address_of_its_pods_mirror_on_the_ports_of_the_service() -> None:
    exported = export({"db-0": True, "db-1": True}, ports=(Port(5432, "pg", target_port=6000),))
    made = plan(exported, local=with_address(plan(exported), FIRST, "10.96.0.9"))
    assert body(made.slices[ROOT])["endpoints"] == [
        {"addresses": ["10.96.0.9"], "conditions": {"ready": True}, "hostname": "db-0"}
    ]
    assert [(port.name, port.port) for port in made.slices[ROOT].ports or ()] == [("pg", 5432)]
    held = mirrors.hold(link(), services=made.services, slices=made.slices, gateway=gateway(alive=False))
    assert held.slices[ROOT] == made.slices[ROOT]
    assert [end.conditions.ready for end in held.slices[FIRST].endpoints or ()] == [False]


def test_a_pods_name_that_was_a_headless_mirror_waits_until_that_is_replaced() -> None:
    former = plan(Export(service("db-0", headless=True), True, "gateway", {"x": True})).services
    made = plan(export({"db-0": True}), local=dict(former))
    assert made.slices[ROOT].endpoints == ()
    deleted = [action.key for action in diff(made, "east", services=former, slices={}) if isinstance(action, Delete)]
    assert FIRST in deleted


def test_without_hostnames_or_when_told_so_the_mirror_is_a_plain_one() -> None:
    for made in (plan(export({})), plan(export(None)), plan(export({"db-0": True}), with_headless=False)):
        assert not made.services[ROOT].headless
        assert FIRST not in made.services
    flat = Export(service("db", headless=True), False, "flat")
    assert not plan(flat).services[ROOT].headless


def test_scaled_to_nothing_it_stays_what_it_was() -> None:
    for hosts, headless in (({"db-0": True}, True), ({}, False)):
        before = plan(export(hosts))
        assert plan(export(None), local=dict(before.services)).services[ROOT].headless is headless


def test_what_changes_between_plain_and_headless_is_replaced_for_its_address_cannot_change() -> None:
    for old, new in (({}, {"db-0": True}), ({"db-0": True}, {})):
        before = plan(export(old))
        services: dict[Key, Any] = dict(before.services)
        slices: dict[Key, Any] = dict(before.slices)
        desired = plan(export(new), local=services)
        for round_ in (Delete, Create):
            actions = diff(desired, "east", services=services, slices=slices)
            assert [type(action) for action in actions if action.key == ROOT and action.kind.kind == "Service"] == [
                round_
            ]
            for action in actions:
                perform(action, services if action.kind.kind == "Service" else slices)
        assert services[ROOT].headless is bool(new)


def test_a_pod_whose_mirror_would_take_a_name_that_is_in_use_is_told_and_the_others_are_there() -> None:
    user = service("db-1-east")
    other = Export(service("db-0"), ready=True)
    made = plan(export({"db-0": True, "db-1": True, "db-2": True, "d" * 60: True}), other, local={user.key: user})
    assert names.HEADLESS_MIRROR_LABEL not in made.services[FIRST].metadata.labels
    assert user.key not in made.services
    assert ("default", "db-2-east") in made.services
    outcome = {each.remote[1]: each for each in made.outcomes}["db"]
    assert outcome.reason == "Error"
    assert "3 of its 4 pods" in outcome.message


def test_a_headless_service_without_ports_is_skipped_with_a_reason() -> None:
    (outcome,) = plan(export({"db-0": True}, ports=())).outcomes
    assert (outcome.reason, "no TCP port" in outcome.message) == ("InvalidService", True)
