"""What was sent between two clusters is what the proxies of both say."""

import pytest
from tests.envoy.scraping import Samples, parse
from tests.lab_fixture import EAST, WEST, Lab

pytestmark = pytest.mark.lab
REQUESTS = 30
URL = f"http://backend-cluster-east:8080/health?[1-{REQUESTS}]"


def scraped(mesh: Lab, cluster: str, *selector: str) -> list[Samples]:
    """The metrics of each pod's proxy, from its node, as Prometheus would ask for them."""
    addresses = [pod["status"]["podIP"] for pod in mesh.get(cluster, "pods", *selector)]
    return [
        parse(mesh.node(cluster, "curl", "-sS", "--compressed", f"http://{address}:4191/metrics"))
        for address in addresses
    ]


def total(samples: list[Samples], name: str, **labels: str) -> float:
    return sum(each.total(name, **labels) for each in samples)


def grown(before: list[Samples], after: list[Samples], name: str, **labels: str) -> dict[str, str]:
    """All labels of a sample that counted something in between."""
    return next(
        found
        for old, new in zip(before, after, strict=True)
        for each, found, value in new.all
        if each == name and labels.items() <= found.items() and (each, found, value) not in old.all
    )


def trust_domain(mesh: Lab, cluster: str) -> str:
    return str(mesh.get(cluster, "cm", "-n", "linkerd", "linkerd-identity-trust-roots")["data"]["trust-domain"])


def test_requests_to_another_cluster_are_counted_exactly_by_both_and_named_after_it(mesh: Lab) -> None:
    west, east = (trust_domain(mesh, cluster) for cluster in (WEST, EAST))
    client_id, server_id = (
        f"{account}.default.serviceaccount.identity.linkerd.{domain}"
        for account, domain in (("frontend", west), ("default", east))
    )
    frontend, backend = ("-l", "app=frontend"), ("-l", "app=backend")
    sent = {"direction": "outbound", "dst_cluster": "cluster-east", "dst_service": "backend-cluster-east"}
    received = {"direction": "inbound", "tls": "true", "client_id": client_id}
    before = [(scraped(mesh, WEST, *frontend), sent), (scraped(mesh, EAST, *backend), received)]
    mesh.exec(WEST, "deploy/frontend", "curl", "-sSf", "-o", "/dev/null", URL, container="frontend")
    after = [(scraped(mesh, WEST, *frontend), sent), (scraped(mesh, EAST, *backend), received)]
    for (old, labels), (new, _) in zip(before, after, strict=True):
        for name, more in (
            ("request_total", {}),
            ("response_total", {"classification": "success", "status_code": "200"}),
        ):
            assert total(new, name, **labels, **more) - total(old, name, **labels, **more) == REQUESTS
    client, server = (
        grown(old, new, "response_total", **labels, status_code="200")
        for (old, labels), (new, _) in zip(before, after, strict=True)
    )
    assert client["server_id"] == server_id
    assert client["authority"] == "backend-cluster-east.default.svc.cluster.local:8080"
    assert (client["dst_target_service"], client["dst_deployment"]) == ("backend", "backend")
    assert server["src_cluster"]
    gateway = scraped(mesh, EAST, "-n", "linkerd-multicluster", "-l", "app=linkerd-gateway")
    assert total(gateway, "gateway_tunnel_open_total", client_id=client_id) > 0


def test_nothing_that_stays_in_its_cluster_has_the_label_of_another(mesh: Lab) -> None:
    """`request_total{dst_cluster!=""}` is the tutorial's query for traffic between clusters."""
    backends = scraped(mesh, EAST, "-l", "app=backend")
    assert any(name == "tcp_open_total" for each in backends for name, _, _ in each.all), "something is counted at all"
    assert not [labels for each in backends for _, labels, _ in each.all if labels.get("dst_cluster")]


def test_kubelets_probes_are_told_and_are_no_requests_of_the_workload(mesh: Lab) -> None:
    controller = ("-n", "linkerd-multicluster", "-l", "app.kubernetes.io/name=multicluster-controller")

    def counted() -> tuple[float, float]:
        seen = scraped(mesh, EAST, *controller)
        probes = total(seen, "inbound_probe_total", status_code="200")
        return probes, total(seen, "request_total", direction="inbound")

    probes, requests = counted()
    found = mesh.wait(lambda: (now := counted())[0] > probes and now, what="a probe of a pod that nobody else asks now")
    assert found[1] == requests


def test_a_pod_gets_access_logs_by_annotation(mesh: Lab) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "logging",
            "annotations": {"linkerd.io/inject": "enabled", "config.linkerd.io/access-log": "json"},
        },
        "spec": mesh.get(EAST, "deploy", "backend")["spec"]["template"]["spec"],
    }
    mesh.apply(EAST, pod)
    try:
        mesh.kubectl(EAST, "wait", "pod/logging", "--for=condition=Ready", "--timeout=60s")
        address = mesh.get(EAST, "pod", "logging")["status"]["podIP"]
        mesh.node(EAST, "curl", "-sSf", f"http://{address}:8080/asked")
        mesh.wait(
            lambda: '"uri":"/asked"' in mesh.kubectl(EAST, "logs", "logging", "-c", "linkerd-proxy"),
            what="a line about the request",
            timeout=20,
        )
    finally:
        mesh.kubectl(EAST, "delete", "pod", "logging", "--wait=false")
