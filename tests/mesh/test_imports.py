"""Services that stand for others elsewhere: flat and federated ones, and single pods of headless ones."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mesh import objects as make

from isthmus import names
from isthmus.mesh import exports, outbound, proxies
from isthmus.mesh.model import Address, Endpoint, Identity, OutboundCluster
from isthmus.mesh.state import Remote, State
from isthmus.mesh.workloads import workload
from isthmus.resources.core import Service
from isthmus.resources.discovery import EndpointSlice

NAME = "outbound/10.96.0.9:80"
MIRROR = {names.MIRRORED_SERVICE_LABEL: "true"}


@pytest.fixture
def state() -> State:
    return make.state()


def resolved(state: State, name: str = NAME) -> OutboundCluster:
    answer = outbound.resolve(state, name)
    assert isinstance(answer, OutboundCluster)
    return answer


def groups(state: State) -> list[list[tuple[str, str, str | None]]]:
    """Of each priority: where each endpoint is, its address, and the gateway that leads to it."""
    return [[(each.cluster, each.address.host, each.gateway) for each in group] for group in resolved(state).priorities]


def flat(cluster: str = "east") -> Service:
    labels = MIRROR | {names.CLUSTER_NAME_LABEL: cluster, names.REMOTE_DISCOVERY: cluster}
    labels[names.REMOTE_SERVICE_LABEL] = "web"
    annotations = {names.REMOTE_SERVICE_FQN_ANNOTATION: "web.shop.svc.cluster.local"}
    return make.service(f"web-{cluster}", "10.96.0.9", 80, labels=labels, annotations=annotations)


def federated(members: str, local: str = "", *ports: int | tuple[str, int]) -> Service:
    annotations = {names.REMOTE_DISCOVERY: members} | ({names.LOCAL_DISCOVERY_ANNOTATION: local} if local else {})
    return make.service("web-federated", "10.96.0.9", *(ports or (80,)), labels=MIRROR, annotations=annotations)


def linked(state: State, cluster: str, *, gateway: bool = True) -> None:
    spec = {} if gateway else {"gatewayAddress": ""}
    make.put(state, make.link(cluster, trust_domain=f"{cluster}.domain", **spec))


def heard(state: State, cluster: str, *hosts: str, port_name: str = "") -> None:
    """Ready meshed pods of `web` in a linked cluster."""
    item = make.endpoint_slice("web", *(make.endpoint(host, f"web-{host}") for host in hosts), port_name=port_name)
    pods = [make.pod(f"web-{host}", host, account="web") for host in hosts]
    state.set_remote((cluster, "shop", "web"), Remote((item,), {each.metadata.uid: workload(each) for each in pods}))


def here(state: State, *hosts: str, ready: bool = True) -> None:
    make.put(state, make.service("web", "10.96.0.5", 80))
    make.put(state, *(make.pod(f"web-{host}", host) for host in hosts))
    make.put(state, make.endpoint_slice("web", *(make.endpoint(host, f"web-{host}", ready=ready) for host in hosts)))


# --- flat mirrors -----------------------------------------------------------------------------------------------------


def test_the_pods_behind_a_flat_mirror_are_dialled_themselves_as_who_they_are(state: State) -> None:
    make.put(state, flat())
    linked(state, "east", gateway=False)
    assert outbound.resolve(state, NAME) is outbound.PENDING
    heard(state, "east", "10.1.0.7")
    found = resolved(state)
    assert found.target_cluster == "east"
    assert found.endpoints == (
        Endpoint(
            Address("10.1.0.7", 8080), Identity("east.domain", "shop", "web"), pod="web-10.1.0.7",
            cluster="east", namespace="shop", service="web",
        ),
    )  # fmt: skip


def test_a_flat_mirror_goes_around_the_gateway_that_its_link_has(state: State) -> None:
    make.put(state, flat())
    linked(state, "east")
    heard(state, "east", "10.1.0.7")
    assert groups(state) == [[("east", "10.1.0.7", None)]]


def test_a_flat_mirror_without_its_link_has_nobody(state: State) -> None:
    make.put(state, flat())
    heard(state, "east", "10.1.0.7")
    assert groups(state) == [[]]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", "nonsense"]
)
def test_another_cluster_cannot_lead_a_proxy_to_its_own_pod_or_node(state: State, host: str) -> None:
    make.put(state, flat())
    linked(state, "east", gateway=False)
    heard(state, "east", host, "10.1.0.7")
    assert groups(state) == [[("east", "10.1.0.7", None)]]


def test_another_cluster_cannot_lead_plain_requests_to_what_is_here(state: State) -> None:
    make.put(state, flat(), make.service("db", "10.96.0.20", 8080), make.pod("secret", "10.244.0.9"))
    make.put(state, make.endpoint_slice("db", make.endpoint("10.244.0.8")))
    linked(state, "east", gateway=False)
    claimed = ("10.1.0.7", "10.96.0.20", "10.244.0.8", "10.244.0.9")
    item = make.endpoint_slice("web", *map(make.endpoint, claimed))
    state.set_remote(("east", "shop", "web"), Remote((item,)))
    assert groups(state) == [[("east", "10.1.0.7", None)]]


def test_nor_by_another_spelling_of_an_address(state: State) -> None:
    make.put(state, flat(), make.service("db", "fd00::10", 8080))
    linked(state, "east", gateway=False)
    claimed = ("fd00::11", "fd00:0:0:0:0:0:0:10", "FD00::10", "fd00::10%eth0", "::ffff:10.96.0.20")
    item = make.endpoint_slice("web", *map(make.endpoint, claimed))
    state.set_remote(("east", "shop", "web"), Remote((item,)))
    assert groups(state) == [[("east", "fd00::11", None)]]


# --- federated services -----------------------------------------------------------------------------------------------


def test_a_federated_service_is_answered_here_first_and_then_by_all_other_clusters_together(state: State) -> None:
    make.put(state, federated("web@east, web@north,nonsense,@x,web@east", "web"))
    linked(state, "east")
    linked(state, "north", gateway=False)
    here(state, "10.244.0.1")
    heard(state, "east", "10.244.0.1")
    heard(state, "north", "10.1.0.7")
    assert groups(state) == [
        [("", "10.244.0.1", None)],
        [("east", "10.244.0.1", "east"), ("north", "10.1.0.7", None)],
    ]
    assert resolved(state).target_cluster == ""
    assert not resolved(state).shared


def test_without_a_member_here_the_others_share_the_traffic_at_once(state: State) -> None:
    make.put(state, federated("web@east,web@north"))
    for cluster in ("east", "north"):
        linked(state, cluster)
        heard(state, cluster, "10.244.0.1")
    assert groups(state) == [[("east", "10.244.0.1", "east"), ("north", "10.244.0.1", "north")]]


def test_a_local_member_that_is_not_ready_is_missed_where_it_was(state: State) -> None:
    make.put(state, federated("web@east", "web"))
    linked(state, "east")
    here(state, "10.244.0.1", ready=False)
    heard(state, "east", "10.244.0.2")
    assert groups(state) == [[("", "10.244.0.1", None)], [("east", "10.244.0.2", "east")]]
    assert [each.ready for each in resolved(state).endpoints] == [False, True]


def test_nobody_waits_for_a_linked_cluster_while_somebody_is_here(state: State) -> None:
    make.put(state, federated("web@east", "web"))
    linked(state, "east")
    assert outbound.resolve(state, NAME) is outbound.PENDING
    here(state, "10.244.0.1")
    assert groups(state) == [[("", "10.244.0.1", None)], []]
    assert resolved(state).provisional
    heard(state, "east", "10.244.0.2")
    assert not resolved(state).provisional


def test_a_member_that_calls_its_only_port_differently_answers_all_the_same(state: State) -> None:
    make.put(state, federated("web@east", "", ("http", 80)))
    linked(state, "east")
    heard(state, "east", "10.244.0.2", port_name="web")
    assert [str(each.address) for each in resolved(state).endpoints] == ["10.244.0.2:8080"]


def test_a_port_among_several_is_not_taken_for_another(state: State) -> None:
    make.put(state, federated("web@east", "", ("http", 80), ("admin", 90)))
    linked(state, "east")
    heard(state, "east", "10.244.0.2", port_name="http")
    assert len(resolved(state).endpoints) == 1
    assert resolved(state, "outbound/10.96.0.9:90").endpoints == ()


members = st.dictionaries(st.sampled_from(["east", "north", "west"]), st.sets(st.integers(1, 4), max_size=3))


@given(members, st.sets(st.integers(1, 4), max_size=3), st.booleans())
def test_every_ready_member_is_there_once_and_knows_its_cluster(
    elsewhere: dict[str, set[int]], local: set[int], joined: bool
) -> None:
    state = make.state()
    make.put(state, federated(",".join(f"web@{each}" for each in elsewhere), "web" if joined else ""))
    here(state, *(f"10.244.0.{each}" for each in local))
    for cluster, hosts in elsewhere.items():
        linked(state, cluster)
        heard(state, cluster, *(f"10.244.0.{each}" for each in hosts))
    found = [[(each.cluster, int(each.address.host.rpartition(".")[2])) for each in group]
             for group in resolved(state).priorities]  # fmt: skip
    remote = sorted((cluster, host) for cluster, hosts in elsewhere.items() for host in hosts)
    if joined:
        assert sorted(found[0]) == sorted(("", host) for host in local)
    assert sorted(found[-1]) == remote
    assert len(found) == 1 + joined


# --- pods of headless services ----------------------------------------------------------------------------------------


def named_pod(fqn: str) -> Service:
    metadata = make.mirror_metadata("east", fqn)
    metadata["labels"][names.HEADLESS_MIRROR_LABEL] = "web-east"
    return make.service("web-1-east", "10.96.0.9", 80, **metadata)


def test_the_mirror_of_one_pod_leads_to_it_and_to_no_other(state: State) -> None:
    make.put(state, named_pod("web-1.web.shop.svc.cluster.local"))
    linked(state, "east")
    endpoints = [make.endpoint(f"10.244.0.{n}", f"web-{n}") | {"hostname": f"web-{n}"} for n in range(3)]
    item = msgspec.convert(make.slice_json("web", *endpoints), EndpointSlice)
    pods = [make.pod(f"web-{n}", f"10.244.0.{n}") for n in range(3)]
    known = {each.metadata.uid: workload(each) for each in pods}
    state.set_remote(("east", "shop", "web"), Remote((item,), known))
    assert groups(state) == [[("east", "10.244.0.1", "east")]]


# --- what other clusters may reach ------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["labels", "annotations"])
@pytest.mark.parametrize(
    ("name", "value", "gateway", "trusted"),
    [
        (names.EXPORTED, "true", True, True),
        (names.EXPORTED, "remote-discovery", False, True),
        (names.FEDERATED, "member", True, True),
        (names.FEDERATED, "true", False, False),
        (names.EXPORTED, "no", False, False),
    ],
)
def test_how_a_service_is_exported_decides_who_may_come_and_which_way(
    state: State, where: str, name: str, value: str, gateway: bool, trusted: bool
) -> None:
    make.put(state, make.service("web", "10.96.0.5", 80, **{where: {name: value}}), make.pod("web-1", "10.244.0.7"))
    make.put(state, make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1")))
    assert (exports.resolve(state, "export/10.244.0.7:8080") is not None) is gateway
    assert proxies.exposed(state, ("shop", "web-1")) is trusted


def test_what_stands_for_another_cluster_is_not_exported_on(state: State) -> None:
    for made in (flat(), federated("web@east"), named_pod("web-1.web.shop.svc.cluster.local")):
        made.metadata.labels[names.EXPORTED] = "true"
        make.put(state, made, make.endpoint_slice(made.metadata.name, make.endpoint("10.96.0.20")))
        assert exports.resolve(state, "export/10.96.0.20:8080") is None
