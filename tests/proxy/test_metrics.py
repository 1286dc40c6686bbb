"""From Envoy's statistics to Linkerd's names."""

import json
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from isthmus.envoy import labels
from isthmus.envoy.metrics import of_cluster, of_endpoint
from isthmus.mesh.model import Address, Endpoint, Identity, OutboundCluster, ServicePort
from isthmus.proxy import metrics

CLIENT = "spiffe://east.test/ns/shop/sa/web"


def scrape(requests: Iterable[str], connections: Iterable[str] = (), **clusters: str) -> list[str]:
    made = metrics.Scrape(cluster_domain="cluster.local", trust_domain="west.test", clusters=clusters)
    lines = list(made.requests(requests))
    made.connections(connections)
    return [line.rstrip("\n") for line in [*lines, *made.rest()] if not line.startswith("#")]


def inbound(status: str, grpc: str = "", client: str = CLIENT) -> str:
    return f'envoy_l5d_inbound{{l="tls=true,status_code={status},grpc_status={grpc},client={client}"}} 2'


@pytest.mark.parametrize(
    ("status", "grpc", "expected"),
    [
        ("200", "", "success"),
        ("404", "", "success"),
        ("503", "", "failure"),
        ("200", "0", "success"),
        ("200", "5", "success"),
        ("200", "14", "failure"),
    ],
)
def test_answers_are_classified_as_linkerd_does(status: str, grpc: str, expected: str) -> None:
    [answer] = [line for line in scrape([inbound(status, grpc)]) if line.startswith("response_total")]
    assert f'classification="{expected}"' in answer
    assert (f'grpc_status="{grpc}"' in answer) is bool(grpc)


def test_requests_are_the_sum_of_all_answers_and_of_those_that_got_none() -> None:
    lines = scrape([inbound("200"), inbound("503"), inbound("0")])
    assert next(line for line in lines if line.startswith("request_total")).endswith(" 6")
    assert not [line for line in lines if 'status_code="0"' in line]


def test_a_client_is_called_as_linkerd_calls_it() -> None:
    [answer, _] = scrape([inbound("200")])
    assert 'client_id="web.shop.serviceaccount.identity.linkerd.east.test"' in answer


def test_a_client_of_this_cluster_has_no_source_cluster() -> None:
    [answer, _] = scrape([inbound("200", client="spiffe://west.test/ns/shop/sa/web")])
    assert "src_cluster" not in answer


def test_a_linked_cluster_is_called_as_its_link_calls_it_and_else_by_its_trust_domain() -> None:
    made = metrics.Scrape(cluster_domain="cluster.local", trust_domain="west.test", clusters={"east.test": "east"})
    assert 'src_cluster="east"' in list(made.requests([inbound("200")]))[1]
    assert 'src_cluster="east.test"' in scrape([inbound("200")])[0]


def test_the_names_of_linked_clusters_are_read_from_the_bundles() -> None:
    bundles = (("east.test", "# cluster east\n-----BEGIN"), ("west.test", "# issuer x\n-----BEGIN"))
    domains = [{"name": name, "trust_bundle": {"inline_string": text}} for name, text in bundles]
    validator = {"custom_validator_config": {"typed_config": {"trust_domains": domains}}}
    dump = {"configs": [{"secret": {"validation_context": validator}}]}
    assert metrics.linked(json.dumps(dump)) == {"east.test": "east"}
    assert metrics.linked("{}") == {}


def endpoint(pod: str, active: int, total: int, cluster: str = "") -> list[str]:
    packed = labels.pack({"dst_service": "web", "dst_pod": pod, "dst_cluster": cluster})
    address = 'envoy_cluster_name="outbound/10.96.0.5_80",envoy_endpoint_address="10.244.0.1:80"'
    where = f'{address},envoy_endpoint_hostname="{packed}"'
    return [
        f"envoy_cluster_endpoint_cx_total{{{where}}} {total}",
        f"envoy_cluster_endpoint_cx_active{{{where}}} {active}",
    ]


def test_what_only_keeps_the_place_of_an_endpoint_is_not_counted() -> None:
    """A group of endpoints that comes back slowly has one for some seconds."""
    address = 'envoy_cluster_name="outbound/10.96.0.5_80",envoy_endpoint_address="192.0.2.1:1"'
    place = f'envoy_cluster_endpoint_cx_total{{{address},envoy_endpoint_hostname="{labels.PLACEHOLDER}"}} 0'
    passed = ["cluster.outbound/10.96.0.5_80.upstream_cx_rx_bytes_total: 70"]
    without = scrape([*endpoint("web-0", 1, 3)], passed)
    assert scrape([*endpoint("web-0", 1, 3), place], passed) == without
    assert any('dst_service="web"' in line and line.endswith(" 70") for line in without)


def test_bytes_are_of_what_all_endpoints_have_in_common() -> None:
    """A connection belongs to a pod; what passed was counted for the destination as a whole."""
    lines = scrape(
        [*endpoint("web-0", 1, 3), *endpoint("web-1", 0, 2, cluster="east")],
        ["cluster.outbound/10.96.0.5_80.upstream_cx_rx_bytes_total: 70"],
    )
    assert 'tcp_open_connections{direction="outbound",peer="dst",dst_service="web",dst_pod="web-0"} 1' in lines
    assert (
        'tcp_close_total{direction="outbound",peer="dst",dst_service="web",dst_pod="web-1",dst_cluster="east"} 2'
        in lines
    )
    assert 'tcp_read_bytes_total{direction="outbound",peer="dst",dst_service="web"} 70' in lines


@pytest.mark.parametrize("elsewhere", ["", "east"])
def test_a_proxy_of_a_hundred_services_says_less_than_a_megabyte_before_it_is_compressed(elsewhere: str) -> None:
    """With names as long as they are in practice."""

    def service(number: int) -> list[str]:
        name = f"some-service-{number:03}"
        identity = Identity("root-0123456789abcdef.cluster.local", "shop", name)
        there = Endpoint(
            Address("10.244.0.1", 8080),
            identity,
            pod=f"{name}-6d4cf56db6-xk2lp",
            owner=f"deployment/{name}",
            cluster=elsewhere,
            namespace="shop" if elsewhere else "",
            service=name if elsewhere else "",
        )
        called = ServicePort("shop", f"{name}-{elsewhere}" if elsewhere else name, 8080)
        cluster = OutboundCluster("outbound/1", called, ((there,),), target_cluster=elsewhere)
        counted, timed = (of_endpoint(cluster, there, single=single) for single in (True, False))
        where = f'envoy_cluster_name="outbound/{number}",envoy_endpoint_address="x",envoy_endpoint_hostname="{counted}"'
        bounds = [*(str(digit * 10**power) for power in range(5) for digit in range(1, 6)), "+Inf"]
        return [
            f'envoy_l5d_outbound{{l="{of_cluster(cluster)},{counted},status_code=200"}} 7',
            *(f'envoy_l5d_outbound_ms_bucket{{l="{of_cluster(cluster)},{timed}",le="{each}"}} 7' for each in bounds),
            f"envoy_cluster_endpoint_cx_total{{{where}}} 1",
            f"envoy_cluster_endpoint_cx_active{{{where}}} 1",
        ]

    requests = [line for number in range(100) for line in service(number)]
    passed = [
        f"cluster.outbound/{number}.upstream_cx_{way}x_bytes_total: 100000" for number in range(100) for way in "rt"
    ]
    lines = scrape(requests, passed)
    assert len(lines) == 100 * (2 + 26 + 5)
    assert sum(len(line) + 1 for line in lines) < 1_000_000


@pytest.mark.parametrize("backend", ["web-east", "other-east"])
@pytest.mark.parametrize("identity", [Identity("east.test", "shop", "web"), None])
def test_a_latency_of_another_cluster_says_in_fewer_labels_what_the_count_says(
    backend: str, identity: Identity | None
) -> None:
    there = Endpoint(
        Address("10.244.0.1", 80), identity, "east", cluster="east", namespace="shop", service="web", backend=backend
    )
    cluster = OutboundCluster("outbound/1", ServicePort("shop", "web-east", 80), ((there,),), target_cluster="east")
    told = labels.unpack(f"{of_cluster(cluster)},{of_endpoint(cluster, there, single=False)}")
    told["authority"] = "web-east.shop.svc.cluster.local:80"
    assert labels.entire(labels.brief(told)) == told
    assert "dst_target_cluster" not in labels.brief(told)
    assert ("dst_service" in labels.brief(told)) is (backend != "web-east")
    failed = labels.unpack(of_cluster(cluster)) | {"authority": "web-east.shop.svc.cluster.local:80"}
    assert labels.entire(labels.brief(failed)) == failed


anything = st.text(st.characters(codec="utf-8"), max_size=40)


@settings(max_examples=50)
@given(anything, anything)
def test_whatever_others_are_called_the_text_stays_valid(pod: str, client: str) -> None:
    escaped = client.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    lines = [
        f'envoy_l5d_outbound{{l="{labels.pack({"dst_service": "web", "dst_pod": pod})},status_code=200"}} 1',
        inbound("200", client=escaped),
        *endpoint(pod, 1, 1),
    ]
    families = text_string_to_metric_families("\n".join(scrape(lines)) + "\n")
    samples = [sample for family in families for sample in family.samples]
    outbound = [each for each in samples if each.name == "request_total" and "dst_service" in each.labels]
    assert [each.labels["dst_service"] for each in outbound] == ["web"]
    assert all(set(each.labels) <= {"direction", "dst_service", "dst_pod"} for each in outbound)
