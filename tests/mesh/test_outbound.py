"""What a pod reaches at an original destination."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mesh import objects as make

from isthmus import names
from isthmus.mesh import outbound
from isthmus.mesh.model import Address, Endpoint, GatewayCluster, Identity, OutboundCluster, ServicePort
from isthmus.mesh.state import Remote, State
from isthmus.mesh.workloads import workload
from isthmus.resources.discovery import EndpointSlice

WEB_IDENTITY = Identity(make.DOMAIN, "shop", "web")
EAST_DOMAIN = "root-2.cluster.local"


@pytest.fixture
def state() -> State:
    return make.state()


def resolved(state: State, name: str) -> OutboundCluster:
    answer = outbound.resolve(state, name)
    assert isinstance(answer, OutboundCluster)
    return answer


def web(state: State, *endpoints: object, **options: object) -> OutboundCluster:
    make.put(state, make.service("web", "10.96.0.5", 80), make.endpoint_slice("web", *endpoints))
    return resolved(state, "outbound/10.96.0.5:80")


def test_a_cluster_ip_is_its_service_and_its_pods_are_who_they_are(state: State) -> None:
    make.put(state, make.pod("web-1", "10.244.0.7", account="web"))
    assert web(state, make.endpoint("10.244.0.7", "web-1")) == OutboundCluster(
        name="outbound/10.96.0.5:80",
        service=ServicePort("shop", "web", 80),
        priorities=((Endpoint(Address("10.244.0.7", 8080), WEB_IDENTITY, pod="web-1"),),),
    )


def test_a_pod_without_proxy_is_dialled_in_plain_text(state: State) -> None:
    found = web(state, make.endpoint("10.244.0.8", "unmeshed"))
    assert [each.identity for each in found.endpoints] == [None]
    assert not found.meshed


def test_endpoints_that_are_not_ready_or_terminating_get_nothing_new(state: State) -> None:
    found = web(
        state,
        make.endpoint("10.244.0.1", ready=False),
        make.endpoint("10.244.0.2", ready=True, terminating=True),
        make.endpoint("10.244.0.3", ready=True),
        make.endpoint("10.244.0.4"),
    )
    assert [each.address.host for each in found.endpoints] == ["10.244.0.3", "10.244.0.4"]


def test_names_among_endpoints_are_left_out(state: State) -> None:
    named = make.slice_json("web", make.endpoint("db.example.com")) | {"addressType": "FQDN"}
    make.put(state, make.service("web", "10.96.0.5", 80), msgspec.convert(named, EndpointSlice))
    assert resolved(state, "outbound/10.96.0.5:80").endpoints == ()


def test_a_port_that_the_proxy_skips_is_plain(state: State) -> None:
    skipping = make.pod("web-1", "10.244.0.7", annotations={names.SKIP_INBOUND_PORTS_ANNOTATION: "8000-8090"})
    make.put(state, skipping)
    assert web(state, make.endpoint("10.244.0.7", "web-1")).endpoints[0].identity is None


def test_the_endpoint_of_a_pod_in_another_life_is_not_dialled(state: State) -> None:
    make.put(state, make.pod("web-1", "10.244.0.7"))
    stale = make.endpoint("10.244.0.7", "web-1")
    stale["targetRef"]["uid"] = "an earlier life"
    assert web(state, stale).endpoints == ()


def test_named_ports_lead_to_their_own_numbers(state: State) -> None:
    make.put(
        state,
        make.service("web", "10.96.0.5", ("http", 80), ("admin", 90)),
        make.endpoint_slice("web", make.endpoint("10.244.0.7"), port=9090, port_name="admin"),
    )
    assert resolved(state, "outbound/10.96.0.5:80").endpoints == ()
    assert [each.address.port for each in resolved(state, "outbound/10.96.0.5:90").endpoints] == [9090]


def test_a_port_that_the_service_does_not_have_leads_nowhere(state: State) -> None:
    web(state)
    assert outbound.resolve(state, "outbound/10.96.0.5:81") is None


def test_a_pod_is_reached_by_its_own_address_as_its_service(state: State) -> None:
    make.put(state, make.pod("web-1", "10.244.0.7", account="web"))
    web(state, make.endpoint("10.244.0.7", "web-1"))
    found = resolved(state, "outbound/10.244.0.7:8080")
    assert found.service == ServicePort("shop", "web", 80)
    assert [each.identity for each in found.endpoints] == [WEB_IDENTITY]


def test_an_unknown_address_of_this_cluster_is_reached_as_without_a_mesh(state: State) -> None:
    found = resolved(state, "outbound/10.244.7.7:9000")
    assert found.endpoints == (Endpoint(Address("10.244.7.7", 9000), None),)
    assert outbound.resolve(state, "outbound/8.8.8.8:53") is None


@pytest.mark.parametrize(
    "name",
    [
        "outbound/",
        "outbound/10.96.0.5",
        "outbound/web:80",
        "outbound/010.96.0.5:80",
        "outbound/10.96.0.5:080",
        "outbound/10.96.0.5:0",
        "outbound/10.96.0.5:70000",
        f"outbound/10.96.0.5:{'8' * 5000}",
        "x",
    ],
)
def test_a_name_that_is_no_address_leads_nowhere(state: State, name: str) -> None:
    web(state)
    assert outbound.resolve(state, name) is None


# --- mirrors ----------------------------------------------------------------------------------------------------------


def mirror(state: State, cluster: str = "east", ip: str = "10.96.0.9", domain: str = EAST_DOMAIN) -> str:
    metadata = make.mirror_metadata(cluster, "web.shop.svc.cluster.local")
    make.put(state, make.service(f"web-{cluster}", ip, 80, **metadata), make.link(cluster, trust_domain=domain))
    return f"outbound/{ip}:80"


def remote_pod(state: State, cluster: str = "east", account: str = "web", ip: str = "10.244.0.7") -> None:
    item = make.endpoint_slice("web", make.endpoint(ip, "web-1"))
    pods = {"uid-web-1": workload(make.pod("web-1", ip, account=account))}
    state.set_remote((cluster, "shop", "web"), Remote((item,), pods))


def remote_endpoint(gateway: str | None) -> Endpoint:
    return Endpoint(
        Address("10.244.0.7", 8080), Identity(EAST_DOMAIN, "shop", "web"), gateway, pod="web-1",
        cluster="east", namespace="shop", service="web",
    )  # fmt: skip


def test_a_mirror_waits_for_the_linked_cluster(state: State) -> None:
    assert outbound.resolve(state, mirror(state)) is outbound.PENDING


def test_a_mirror_of_a_cluster_that_was_never_heard_has_nobody_for_the_time_being(state: State) -> None:
    name = mirror(state)
    state.set_remote(("east", "shop", "web"), Remote(heard=False))
    assert resolved(state, name).endpoints == ()
    assert resolved(state, name).provisional
    remote_pod(state)
    assert not resolved(state, name).provisional


def test_a_mirror_is_every_remote_pod_through_the_gateway(state: State) -> None:
    name = mirror(state)
    remote_pod(state)
    assert resolved(state, name) == OutboundCluster(
        name=name,
        service=ServicePort("shop", "web-east", 80),
        priorities=((remote_endpoint(gateway="east"),),),
        target_cluster="east",
    )


def test_a_remote_pod_that_is_not_known_yet_is_not_dialled_in_plain_text(state: State) -> None:
    name = mirror(state)
    item = make.endpoint_slice("web", make.endpoint("10.244.0.7", "web-1"))
    state.set_remote(("east", "shop", "web"), Remote((item,), {}))
    assert resolved(state, name).endpoints == ()


def test_a_mirror_without_link_or_trust_has_nobody(state: State) -> None:
    name = mirror(state, domain="")
    remote_pod(state)
    assert resolved(state, name).endpoints == ()


def test_the_gateway_addresses_in_a_mirrors_own_slices_are_not_endpoints(state: State) -> None:
    name = mirror(state)
    remote_pod(state)
    make.put(state, make.endpoint_slice("web-east", make.endpoint("172.30.11.1"), port=4143))
    assert [str(each.address) for each in resolved(state, name).endpoints] == ["10.244.0.7:8080"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["east", "north", "here"]), st.integers(1, 6), st.sampled_from(["a", "b"])),
        max_size=12,
    )
)
def test_equal_addresses_of_different_clusters_never_mix(pods: list[tuple[str, int, str]]) -> None:
    state = make.state()
    east = mirror(state, "east", "10.96.0.9", "east.domain")
    north = mirror(state, "north", "10.96.0.10", "north.domain")
    make.put(state, make.service("web", "10.96.0.5", 80))
    wanted: dict[str, dict[int, str]] = {"east": {}, "north": {}, "here": {}}
    for cluster, number, account in pods:
        wanted[cluster][number] = account
    for cluster, accounts in wanted.items():
        item = make.endpoint_slice("web", *(make.endpoint(f"10.244.0.{each}", f"web-{each}") for each in accounts))
        found = [make.pod(f"web-{each}", f"10.244.0.{each}", account=name) for each, name in accounts.items()]
        if cluster == "here":
            make.put(state, item, *found)
        else:
            by_id = {each.metadata.uid: workload(each) for each in found}
            state.set_remote((cluster, "shop", "web"), Remote((item,), by_id))
    domains = {"east": "east.domain", "north": "north.domain", "here": make.DOMAIN}
    for cluster, name in (("east", east), ("north", north), ("here", "outbound/10.96.0.5:80")):
        endpoints = resolved(state, name).endpoints
        assert {each.address.host: each.identity for each in endpoints} == {
            f"10.244.0.{number}": Identity(domains[cluster], "shop", account)
            for number, account in wanted[cluster].items()
        }
        assert {each.gateway for each in endpoints} <= {None if cluster == "here" else cluster}


# --- probes and opaque ports ------------------------------------------------------------------------------------------


def test_a_probe_service_is_the_gateway_itself(state: State) -> None:
    labels = {names.MIRRORED_GATEWAY_LABEL: "true", names.CLUSTER_NAME_LABEL: "east"}
    make.put(state, make.link("east"), make.service("probe-east", "10.96.0.20", 4191, labels=labels))
    assert outbound.resolve(state, "outbound/10.96.0.20:4191") == GatewayCluster(
        "outbound/10.96.0.20:4191",
        (Address("172.30.11.1", 4143),),
        Identity(EAST_DOMAIN, "linkerd-multicluster", "linkerd-gateway"),
    )


@pytest.mark.parametrize(("annotation", "port", "opaque"), [(None, 3306, True), (None, 80, False), ("80", 80, True),
                                                            ("80", 3306, False), ("nonsense", 3306, True)])  # fmt: skip
def test_opaque_ports(state: State, annotation: str | None, port: int, opaque: bool) -> None:
    annotations = {} if annotation is None else {names.OPAQUE_PORTS_ANNOTATION: annotation}
    make.put(state, make.service("db", "10.96.0.5", port, annotations=annotations))
    assert resolved(state, f"outbound/10.96.0.5:{port}").opaque is opaque
