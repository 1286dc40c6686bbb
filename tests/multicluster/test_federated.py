"""What federated services are made of, whoever joins and leaves in whatever order."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus import names
from isthmus.kube.meta import Key
from isthmus.multicluster import federated, links
from isthmus.multicluster.diff import federated_diff
from isthmus.multicluster.federated import Membership, Union
from isthmus.multicluster.federation import without
from isthmus.multicluster.objects import Port, Service, is_federated
from isthmus.multicluster.settings import Settings

from .test_diff import perform
from .values import link_object, service

NAMESPACES = frozenset({"default"})
MEMBER = {names.FEDERATED: "member"}
KEY = ("default", "web-federated")
NAMES = st.sampled_from(["web", "shop"])


def linked(target: str, *, day: int = 1, **spec: Any) -> links.Link:
    return links.parse(link_object(target, metadata={"creationTimestamp": f"2026-01-{day:02}T00:00:00Z"}, **spec))


def joined(link: links.Link, *services: Service) -> Membership:
    return Membership(link, {item.key: item for item in services})


def plan(*memberships: Membership, local: dict[Key, Service] | None = None, **chosen: Any) -> Union:
    return federated.plan(memberships, local=local or {}, namespaces=NAMESPACES, settings=Settings(**chosen))


def discovery(item: Service) -> tuple[str, str]:
    annotations = item.metadata.annotations
    return annotations.get(names.LOCAL_DISCOVERY_ANNOTATION, ""), annotations.get(names.REMOTE_DISCOVERY, "")


def own(name: str = "web", **content: Any) -> dict[Key, Service]:
    made = service(name, **({"labels": MEMBER} | content))
    return {made.key: made}


def test_members_stand_in_the_order_of_their_links_and_the_oldest_is_the_source() -> None:
    east = joined(linked("east", day=2), service("web", ports=(Port(80, "e"),)))
    north = joined(linked("north", day=1), service("web", ports=(Port(80, "n"),)))
    made = plan(east, north).services[KEY]
    assert discovery(made) == ("", "web@north,web@east")
    assert [port.name for port in made.spec.ports] == ["n"]


def test_a_member_of_this_cluster_is_the_source_of_ports_and_metadata() -> None:
    local = own(ports=(Port(80, "mine"),), labels={**MEMBER, "context": "west"}, annotations={"a": "west"})
    made = plan(joined(linked("east"), service("web", labels={"context": "east"})), local=local).services[KEY]
    assert discovery(made) == ("web", "web@east")
    assert [port.name for port in made.spec.ports] == ["mine"]
    assert made.metadata.labels == {"context": "west", names.MIRRORED_SERVICE_LABEL: "true"}
    assert made.metadata.annotations["a"] == "west"
    assert names.FEDERATED not in made.metadata.labels


def test_exclusions_are_those_of_the_link_of_the_source_or_of_this_cluster() -> None:
    metadata = {"evil/a": "x", "evilish/a": "x", names.OPAQUE_PORTS_ANNOTATION: "80"}
    link = linked("east", excludedLabels=["evil/*"], excludedAnnotations=["evil/*", names.OPAQUE_PORTS_ANNOTATION])
    remote = plan(joined(link, service("web", labels=metadata, annotations=metadata))).services[KEY].metadata
    local = plan(local=own(labels={**metadata, **MEMBER}), excluded_labels=("evil/*",)).services[KEY].metadata
    for found in (remote.labels, remote.annotations, local.labels):
        assert "evil/a" not in found
        assert found["evilish/a"] == "x"
    assert remote.annotations[names.OPAQUE_PORTS_ANNOTATION] == "80"


def test_a_cluster_that_is_not_known_yet_stays_a_member_and_the_source_of_what_it_gave() -> None:
    east, north = linked("east", day=1), linked("north", day=2)
    web = service("web", ports=(Port(80, "e"),), labels={"from": "east"})
    before = plan(joined(east, web), joined(north, service("web"))).services
    held = plan(Membership(east, None), joined(north, service("web")), local=dict(before)).services
    assert held[KEY].spec == before[KEY].spec
    assert held[KEY].metadata.labels == before[KEY].metadata.labels
    assert federated_diff(held, before) == []
    assert plan(joined(north), Membership(east, None), local=dict(before)).services.keys() == {KEY}
    gone = plan(joined(north, service("web")), local=dict(before)).services[KEY]
    assert (discovery(gone), gone.metadata.labels.get("from")) == (("", "web@north"), None)


def test_a_link_that_selects_no_members_has_none_even_while_its_target_is_away() -> None:
    before = plan(joined(linked("east"), service("web"))).services
    assert not plan(Membership(linked("east", federatedServiceSelector={}), None), local=dict(before)).services


def test_federated_services_are_no_members_of_federated_services() -> None:
    made = plan(local=own()).services
    labels = {**made[KEY].metadata.labels, **MEMBER}
    again = service("web-federated", labels=labels, annotations=made[KEY].metadata.annotations)
    assert plan(local={again.key: again}).services == {}


def test_outcomes_are_told_to_the_link_they_belong_to() -> None:
    east, north = linked("east"), linked("north")
    made = plan(
        joined(east, service("web"), service("db", headless=True), service("x" * 60)),
        joined(north, service("web", namespace="shop")),
        local=own("cache", headless=True),
    )
    assert [(outcome.remote[1][:3], outcome.reason) for outcome in made.outcomes[east.key]] == [
        ("db", "InvalidService"),
        ("web", "Mirrored"),
        ("xxx", "InvalidService"),
    ]
    assert [outcome.reason for outcome in made.outcomes[north.key]] == ["MissingNamespace"]
    assert ["headless" in outcome.message for outcome in made.local] == [True]


def test_a_service_of_the_user_and_a_mirror_with_the_name_are_left_alone() -> None:
    """The mirror of `web` in a cluster called `federated` has the name, too."""
    mirror = service(
        "web-federated", labels={names.MIRRORED_SERVICE_LABEL: "true", names.CLUSTER_NAME_LABEL: "federated"}
    )
    for taken in (service("web-federated"), mirror):
        made = plan(joined(linked("east"), service("web")), local={taken.key: taken})
        assert not made.services
        assert federated_diff(made.services, {taken.key: taken}) == []
        assert [outcome.reason for outcome in made.outcomes["linkerd-multicluster", "linkerd-east"]] == ["Error"]


def test_leaving_takes_a_cluster_out_and_the_last_member_takes_the_service_along() -> None:
    east, north = joined(linked("east"), service("web")), joined(linked("north"), service("web"))
    for members, local, left in (
        ([east, north], {}, ("", "web@north")),
        ([east], own(), ("web", "")),
        ([east], {}, None),
    ):
        store: dict[Key, Any] = dict(plan(*members, local=local).services)
        change = without(store[KEY], "east")
        assert change
        perform(change, store)
        assert (discovery(store[KEY]) if KEY in store else None) == left
    assert without(plan(north).services[KEY], "east") is None


LISTS = st.lists(NAMES, unique=True)
WORLDS = st.fixed_dictionaries({"west": LISTS, "east": st.none() | LISTS, "north": st.none() | LISTS})
"""The members of each cluster; None where a cluster is not known."""
World = dict[str, Any]


def planned(world: World, store: dict[Key, Any], version: str) -> Union:
    found = [
        Membership(
            linked(target),
            None
            if world[target] is None
            else {("default", name): service(name, version=version) for name in world[target]},
        )
        for target in ("east", "north")
    ]
    return plan(*found, local=store)


def settle(world: World, store: dict[Key, Any], version: str) -> dict[Key, Any]:
    """The Services of the cluster after one round, in which its own members are those of the world."""
    found = {key: item for key, item in store.items() if is_federated(item)}
    for name in world["west"]:
        found |= own(name, version=version)
    for action in federated_diff(planned(world, found, version).services, found):
        perform(action, found)
    return found


@settings(max_examples=25, deadline=None)
@given(before=WORLDS, after=WORLDS)
def test_whatever_happened_members_are_exactly_those_that_want_to_be(before: World, after: World) -> None:
    first = settle({target: found or [] for target, found in before.items()}, {}, "1")
    second = settle(after, first, "2")
    last = {target: (before if found is None else after)[target] or [] for target, found in after.items()}
    for name in ("web", "shop"):
        found = second.get(("default", f"{name}-federated"))
        remote = ",".join(f"{name}@{target}" for target in ("east", "north") if name in last[target])
        assert (discovery(found) if found else ("", "")) == (name if name in last["west"] else "", remote)
    assert federated_diff(planned(after, second, "2").services, second) == []
