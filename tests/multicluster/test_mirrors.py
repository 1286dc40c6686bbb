"""What appears in the linking cluster for a service that the linked cluster exports."""

import pytest

from isthmus import names
from isthmus.kube.meta import Key
from isthmus.multicluster import mirrors
from isthmus.multicluster.objects import Port, Service, Slice, body
from isthmus.multicluster.plans import Export, Gateway, Plan
from isthmus.multicluster.selectors import exported, selects

from .values import IDENTITY, gateway, link, service

MULTICLUSTER = "linkerd-multicluster"
NAMESPACES = frozenset({"default", MULTICLUSTER})
EXPORTED = {names.EXPORTED: "true"}


def plan(
    *exports: Export,
    way: Gateway | None = None,
    local: dict[Key, Service] | None = None,
    namespaces: frozenset[str] = NAMESPACES,
    no_gateway: bool = False,
    **spec: object,
) -> Plan:
    chosen = None if no_gateway else way or gateway()
    return mirrors.plan(link(**spec), exports, gateway=chosen, local=local or {}, namespaces=namespaces)


def only_slice(made: Plan, key: Key = ("default", "backend-east")) -> Slice:
    return made.slices[key]


def test_a_mirror_is_named_after_service_and_cluster_and_points_to_the_gateway() -> None:
    made = plan(Export(service(labels={"app": "backend"}, annotations=EXPORTED, version="4711"), ready=True))
    assert body(made.services["default", "backend-east"]) == {
        "metadata": {
            "name": "backend-east",
            "namespace": "default",
            "labels": {
                "app": "backend",
                "mirror.linkerd.io/mirrored-service": "true",
                "mirror.linkerd.io/cluster-name": "east",
            },
            "annotations": {
                "mirror.linkerd.io/remote-svc-fq-name": "backend.default.svc.cluster.local",
                "mirror.linkerd.io/remote-resource-version": "4711",
            },
        },
        "spec": {"ports": [{"name": "http", "port": 8080, "protocol": "TCP", "targetPort": 8080}]},
    }
    assert body(only_slice(made)) == {
        "metadata": {
            "name": "backend-east",
            "namespace": "default",
            "labels": {
                "mirror.linkerd.io/mirrored-service": "true",
                "mirror.linkerd.io/cluster-name": "east",
                "kubernetes.io/service-name": "backend-east",
                "endpointslice.kubernetes.io/managed-by": "multicluster.isthmus.io",
            },
            "annotations": {
                "mirror.linkerd.io/remote-svc-fq-name": "backend.default.svc.cluster.local",
                "mirror.linkerd.io/remote-gateway-identity": IDENTITY,
            },
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["203.0.113.10"], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": 4143, "protocol": "TCP"}],
    }
    assert [outcome.reason for outcome in made.outcomes] == ["Mirrored"]


def test_a_service_without_ready_endpoints_has_a_mirror_without_endpoints() -> None:
    assert only_slice(plan(Export(service(), ready=False))).endpoints == ()


def test_a_gateway_that_is_down_makes_endpoints_not_ready() -> None:
    (endpoint,) = only_slice(plan(Export(service(), ready=True), way=gateway(alive=False))).endpoints or ()
    assert endpoint.conditions.ready is False


def test_each_address_family_of_the_gateway_has_a_slice_of_its_own() -> None:
    made = plan(Export(service(), ready=True), way=gateway("2001:db8::1", "203.0.113.10", "203.0.113.9"))
    four, six = only_slice(made), only_slice(made, ("default", "backend-east-ipv6"))
    assert (four.address_type, six.address_type) == ("IPv4", "IPv6")
    assert [endpoint.addresses for endpoint in four.endpoints or ()] == [("203.0.113.10",), ("203.0.113.9",)]


def test_a_mirror_is_never_exported_back() -> None:
    """Two clusters that export the same service by annotation must not mirror each other's mirrors for ever."""
    made = plan(Export(service(annotations=EXPORTED, labels={"a": "b"}), ready=True))
    mirror = made.services["default", "backend-east"]
    assert names.EXPORTED not in mirror.metadata.annotations
    assert not exported(link().selector, mirror)
    again = service(labels={names.MIRRORED_SERVICE_LABEL: "true", **EXPORTED})
    assert not exported(link().selector, again)


def test_excluded_metadata_is_not_copied_but_opaque_ports_always_are() -> None:
    labels = {"good": "yes", "evil": "yes", "evil.linkerd/a": "b", "evil.linkerdish/a": "c"}
    annotations = {**labels, names.OPAQUE_PORTS_ANNOTATION: "8080", "kubectl.kubernetes.io/last-applied": "{}"}
    patterns = ["evil", "evil.linkerd/*", "config.linkerd.io/*"]
    made = plan(
        Export(service(labels=labels, annotations=annotations), ready=True),
        excludedLabels=patterns,
        excludedAnnotations=patterns,
    )
    metadata = made.services["default", "backend-east"].metadata
    kept = {"good", "evil.linkerdish/a"}
    assert {name for name in metadata.labels if "linkerd.io" not in name} == kept
    assert {name for name in metadata.annotations if not name.startswith("mirror.linkerd.io")} == {
        *kept,
        names.OPAQUE_PORTS_ANNOTATION,
    }


@pytest.mark.parametrize(
    ("remote", "reason", "words"),
    [
        (service(namespace="shop"), "MissingNamespace", "Namespace shop does not exist"),
        (service("b" * 60), "InvalidService", "65 characters"),
        (service(kind="ExternalName"), "InvalidService", "ExternalName"),
        (service(ports=(Port(53, "dns", "UDP"),)), "InvalidService", "no TCP port"),
    ],
)
def test_what_cannot_be_mirrored_says_why(remote: Service, reason: str, words: str) -> None:
    made = plan(Export(remote, ready=True))
    (outcome,) = made.outcomes
    assert outcome.reason == reason
    assert words in outcome.message
    assert set(made.services) == {(MULTICLUSTER, "probe-east")}


def test_a_local_service_of_the_mirrors_name_is_left_alone_and_reported() -> None:
    foreign = service("backend-east")
    made = plan(Export(service(), ready=True), local={foreign.key: foreign})
    (outcome,) = made.outcomes
    assert foreign.key not in made.services
    assert (outcome.reason, "is left alone" in outcome.message) == ("Error", True)


def test_a_mirror_of_another_link_with_the_same_name_is_left_alone() -> None:
    """`a-b` of cluster `c` and `a` of cluster `b-c` have the same mirror name."""
    others = service("backend-east", labels={names.MIRRORED_SERVICE_LABEL: "true", names.CLUSTER_NAME_LABEL: "st"})
    made = plan(Export(service(), ready=True), local={others.key: others})
    assert [outcome.reason for outcome in made.outcomes] == ["Error"]


def test_only_tcp_ports_are_mirrored() -> None:
    remote = service(ports=(Port(53, "dns", "UDP"), Port(53, "dns-tcp"), Port(9090, "admin", target_port="admin")))
    made = plan(Export(remote, ready=True))
    assert [port.name for port in made.services["default", "backend-east"].spec.ports] == ["dns-tcp", "admin"]
    assert [(port.name, port.port) for port in only_slice(made).ports or ()] == [("dns-tcp", 4143), ("admin", 4143)]


def test_a_link_without_gateway_mirrors_nothing_and_says_so() -> None:
    made = plan(Export(service(), ready=True), no_gateway=True)
    assert not made.services
    assert not made.slices
    assert "gatewayAddress" in made.outcomes[0].message


def test_a_flat_mirror_needs_no_gateway_and_leads_proxies_to_the_service_itself() -> None:
    made = plan(Export(service(labels={"app": "a"}), ready=False, mode="flat"), no_gateway=True)
    assert made.services["default", "backend-east"].metadata.labels == {
        "app": "a",
        "mirror.linkerd.io/mirrored-service": "true",
        "mirror.linkerd.io/cluster-name": "east",
        "multicluster.linkerd.io/remote-discovery": "east",
        "multicluster.linkerd.io/remote-service": "backend",
    }
    assert not made.slices
    assert [outcome.reason for outcome in made.outcomes] == ["Mirrored"]


def test_a_link_may_mix_modes_and_a_service_is_in_one_of_them_and_a_member_besides() -> None:
    both = link(remoteDiscoverySelector={"matchLabels": {"flat": "yes"}})
    assert both.mode(service(labels={"flat": "yes", **EXPORTED})) == "flat"
    assert both.mode(service(labels=EXPORTED)) == "gateway"
    assert both.mode(service(labels={names.FEDERATED: "member"})) is None
    assert both.joins(service(labels={names.FEDERATED: "member", **EXPORTED}))


def test_without_selectors_a_link_selects_nothing() -> None:
    everything = service(labels={names.FEDERATED: "member", **EXPORTED})
    for empty in (None, {}, {"matchLabels": {}, "matchExpressions": []}):
        made = link(selector=empty, remoteDiscoverySelector=empty, federatedServiceSelector=empty)
        assert (made.mode(everything), made.joins(everything)) == (None, False)


def test_the_probe_service_leads_to_the_gateway_even_while_it_is_down() -> None:
    made = plan(way=gateway(alive=False))
    probe = made.services[MULTICLUSTER, "probe-east"]
    assert probe.metadata.labels == {
        "mirror.linkerd.io/mirrored-gateway": "true",
        "mirror.linkerd.io/cluster-name": "east",
    }
    assert [(port.name, port.port) for port in probe.spec.ports] == [("mc-probe", 4191)]
    (endpoint,) = only_slice(made, (MULTICLUSTER, "probe-east")).endpoints or ()
    assert endpoint.conditions.ready is True


def test_while_exports_are_unknown_mirrors_stay_and_only_show_the_gateways_liveness() -> None:
    before = plan(Export(service(), ready=True), Export(service("empty"), ready=False))
    held = mirrors.hold(link(), services=before.services, slices=before.slices, gateway=gateway(alive=False))
    assert held.services == before.services
    (endpoint,) = only_slice(held).endpoints or ()
    assert (endpoint.addresses, endpoint.conditions.ready) == (("203.0.113.10",), False)
    assert only_slice(held, ("default", "empty-east")).endpoints == ()
    (probe,) = only_slice(held, (MULTICLUSTER, "probe-east")).endpoints or ()
    assert probe.conditions.ready is True


def test_while_exports_are_unknown_mirrors_lead_to_where_the_gateway_is_now() -> None:
    before = plan(Export(service(), ready=True), Export(service("empty"), ready=False))
    moved = gateway("203.0.113.20", port=30443)
    held = mirrors.hold(link(), services=before.services, slices=before.slices, gateway=moved)
    assert held.slices == plan(Export(service(), ready=True), Export(service("empty"), False), way=moved).slices | {
        key: item for key, item in before.slices.items() if key[1] == "probe-east"
    }
    nowhere = mirrors.hold(link(), services=before.services, slices=before.slices, gateway=None)
    assert nowhere == Plan(before.services, before.slices, ())


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        (None, {"a": "b"}, False),
        ({}, {"a": "b"}, False),
        ({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, True),
        ({"matchLabels": {"a": "b", "c": "x"}}, {"a": "b", "c": "d"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {"a": "b"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": "b"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Surprise"}]}, {"a": "b"}, False),
    ],
)
def test_selectors(selector: dict[str, object] | None, labels: dict[str, str], selected: bool) -> None:
    assert selects(selector, labels) is selected


def test_the_export_annotation_counts_as_the_label_but_the_label_wins() -> None:
    selector = link().selector
    assert exported(selector, service(annotations=EXPORTED))
    assert exported(selector, service(labels=EXPORTED))
    assert not exported(selector, service(labels={names.EXPORTED: "false"}, annotations=EXPORTED))
    assert not exported(selector, service())
    member = {names.FEDERATED: "member"}
    assert link().joins(service(annotations=member))
    assert not link().joins(service(annotations=member, labels={names.FEDERATED: "no"}))
