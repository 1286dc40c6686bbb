"""The tutorial, from its own file: every section is followed as written, then what its prose claims is looked at.

What a reader does beside typing is in `substitutions.py`. One lab, in the order of the text: a section whose
predecessor was not finished says so.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e import inside
from tests.e2e.loading import load
from tests.lab_fixture import EAST, WEST, Lab
from tests.tutorial.reader import Reader
from tests.tutorial.reading import blocks
from tests.tutorial.substitutions import BACK_TO_THE_LOAD_BALANCER

pytestmark = pytest.mark.lab

PREREQUISITES = "Prerequisites"
INSTALLING = "Installing Linkerd Multi-Cluster Components"
LINKING = "Linking Clusters Together"
EXPORTING = "Exporting Services Across Clusters"
ACCESSING = "Accessing Exported Services from Remote Clusters"
VERIFYING = "Verifying Cross-Cluster Communication"
SERVICE_TYPE = "Configuring Multi-Cluster Gateway Service Type"
FAILOVER = "Implementing Cross-Cluster Failover"
MONITORING = "Monitoring Multi-Cluster Traffic"
AVAILABILITY = "Configuring Gateway High Availability"
SECURING = "Securing Gateway Communication"
DEBUGGING = "Debugging Multi-Cluster Issues"
REMOVING = "Removing Cluster Links"

EXTENSION = "linkerd-multicluster"
HEALTHY = "Status check results are √"
MIRRORS = ("services", "-A", "-l", "mirror.linkerd.io/mirrored-service")
IN_THE_GATEWAYS_PROXY = f"kubectl exec -n {EXTENSION} deploy/linkerd-gateway -c linkerd-proxy --"
GATEWAY_PORT = 4143
ESTABLISHED = "01"


def test_prerequisites(reader: Reader) -> None:
    reader.follow(PREREQUISITES)


def test_linkerd_is_healthy_on_both_clusters(reader: Reader) -> None:
    assert [printed.splitlines()[-1] for printed in reader.printed(PREREQUISITES, "linkerd check")] == [HEALTHY] * 2


def test_there_are_contexts_for_both_clusters(reader: Reader) -> None:
    (printed,) = reader.printed(PREREQUISITES, "kubectl config get-contexts")
    assert EAST in printed
    assert WEST in printed


def test_the_clusters_are_independent(reader: Reader) -> None:
    reader.done(PREREQUISITES)
    roots = {
        reader.lab.get(cluster, "configmap", "linkerd-identity-trust-roots", "-n", "linkerd")["data"]["ca-bundle.crt"]
        for cluster in (EAST, WEST)
    }
    assert len(roots) == 2


def test_installing_the_multi_cluster_components(reader: Reader) -> None:
    reader.follow(INSTALLING)


def test_gateway_and_service_mirror_run_on_both_clusters(reader: Reader) -> None:
    reader.done(INSTALLING)
    assert [text.splitlines()[-1] for text in reader.printed(INSTALLING, "linkerd multicluster check")] == [HEALTHY] * 2
    for cluster in (EAST, WEST):
        found = {item["metadata"]["name"]: item for item in reader.lab.get(cluster, "deploy", "-n", EXTENSION)}
        assert found.keys() == {"linkerd-gateway", "linkerd-multicluster-controller"}
        assert all(item["status"]["readyReplicas"] == 1 for item in found.values())


def test_linking(reader: Reader) -> None:
    reader.follow(LINKING)


def test_each_cluster_shows_the_link_to_the_other(reader: Reader) -> None:
    in_east, in_west = reader.printed(LINKING, "kubectl get link -A")
    assert re.search(rf"{EXTENSION} +linkerd-{WEST} ", in_east)
    assert re.search(rf"{EXTENSION} +linkerd-{EAST} ", in_west)


def test_the_link_in_west_has_credentials_and_the_gateway_of_east(reader: Reader) -> None:
    reader.done(LINKING)
    link = reader.lab.get(WEST, "link", f"linkerd-{EAST}", "-n", EXTENSION)
    (gateway,) = reader.lab.get(EAST, "svc", "linkerd-gateway", "-n", EXTENSION)["status"]["loadBalancer"]["ingress"]
    assert (link["spec"]["gatewayAddress"], link["spec"]["gatewayPort"]) == (gateway["ip"], "4143")
    secret = link["spec"]["clusterCredentialsSecret"]
    encoded = f"kubectl --context {WEST} -n {EXTENSION} get secret {secret} -o jsonpath={{.data.kubeconfig}}"
    reader.shell(f"{encoded} | base64 -d > credentials.yaml")
    credentials = str(reader.folder / "credentials.yaml")
    seen = reader.lab.node(WEST, "kubectl", "--kubeconfig", credentials, "get", "services", "-A", "-o", "name")
    assert "service/linkerd-gateway" in seen


def test_the_links_work(reader: Reader) -> None:
    reader.done(LINKING)
    for cluster, other in ((EAST, WEST), (WEST, EAST)):
        condition = ("--for", "condition=Ready", "--timeout", "30s")
        reader.lab.kubectl(cluster, "-n", EXTENSION, "wait", f"link/linkerd-{other}", *condition)


def test_exporting(reader: Reader) -> None:
    reader.follow(EXPORTING)


def test_accessing(reader: Reader) -> None:
    reader.follow(ACCESSING)


def test_a_service_named_backend_cluster_east_is_seen_in_the_default_namespace(reader: Reader) -> None:
    (printed,) = reader.printed(ACCESSING, "kubectl get svc")
    assert re.search(r"^default +backend-cluster-east +ClusterIP .* 8080/TCP", printed, re.MULTILINE)


def test_nothing_is_exposed_that_was_not_exported(reader: Reader) -> None:
    reader.done(ACCESSING)
    assert names(reader.lab.get(WEST, *MIRRORS)) == {"backend-cluster-east"}
    assert reader.lab.get(EAST, *MIRRORS) == []


def test_verifying(reader: Reader) -> None:
    reader.follow(VERIFYING)


def test_a_backend_in_east_answers_the_request_typed_into_the_frontend(reader: Reader) -> None:
    (printed,) = reader.printed(VERIFYING, "curl")
    answer = json.loads(next(line for line in printed.splitlines() if line.startswith("{")))
    assert answer["path"] == "/health"
    assert answer["pod"] in pods(reader.lab, EAST, "backend")


def test_the_frontend_calls_the_backend_by_the_name_in_its_environment(reader: Reader) -> None:
    reader.done(VERIFYING)
    page = reader.lab.exec(WEST, "deploy/frontend", "curl", "-sS", "http://localhost:8080/", container="frontend")
    assert "http://backend-cluster-east:8080 answered 200" in page


def test_the_backend_knows_the_frontend_and_the_frontend_the_backend(reader: Reader) -> None:
    """Mutual TLS with verified identities, from one cluster to the other."""
    reader.done(VERIFYING)
    head, body = ask(reader.lab, WEST, "backend-cluster-east")
    assert json.loads(body)["client_id"] == f"spiffe://{trust_domain(reader.lab, WEST)}/ns/default/sa/default"
    assert f"l5d-server-id: spiffe://{trust_domain(reader.lab, EAST)}/ns/default/sa/default" in head


def test_success_rate_and_latencies_of_cross_cluster_requests_are_shown(reader: Reader) -> None:
    """A moment later: the numbers are those of the last time that the proxies were read."""
    (printed,) = reader.printed(VERIFYING, "linkerd viz stat")
    assert "SUCCESS" in printed
    shown = stat(reader, "deploy/frontend", "--to", "svc/backend-cluster-east")
    assert shown["NAME"] == "frontend"
    assert shown["SUCCESS"] == "100.00%"
    assert all(shown[column].endswith("ms") for column in ("LATENCY_P50", "LATENCY_P95", "LATENCY_P99"))


def test_configuring_the_gateways_service_type(reader: Reader) -> None:
    reader.follow(SERVICE_TYPE)


def test_a_gateway_behind_a_node_port_serves_the_link_that_names_it(reader: Reader) -> None:
    (printed,) = reader.printed(SERVICE_TYPE, "linkerd multicluster link")
    service = reader.lab.get(EAST, "svc", "linkerd-gateway", "-n", EXTENSION)
    assert service["spec"]["type"] == "NodePort"
    assert [port["nodePort"] for port in service["spec"]["ports"]] == [30443]
    (link,) = [item for item in yaml.safe_load_all(printed) if item["kind"] == "Link"]
    address = reader.shell(
        f"kubectl --context {EAST} get nodes -o jsonpath='{{.items[0].status.addresses[0].address}}'"
    )
    assert (link["spec"]["gatewayAddress"], link["spec"]["gatewayPort"]) == (address, "30443")
    reader.lab.kubectl(WEST, "apply", "-f", "-", stdin=printed)
    reader.lab.wait(lambda: answers(reader.lab, WEST, "backend-cluster-east"), what="an answer through the NodePort")


def test_the_gateway_goes_back_to_a_load_balancer(reader: Reader) -> None:
    reader.done(SERVICE_TYPE)
    for command in BACK_TO_THE_LOAD_BALANCER:
        reader.shell(command)
    reader.lab.wait(lambda: answers(reader.lab, WEST, "backend-cluster-east"), what="an answer as before")


def test_implementing_failover(reader: Reader) -> None:
    reader.follow(FAILOVER)


@pytest.fixture(scope="module")
def client_in_east(reader: Reader) -> Lab:
    """The tutorial's frontend, in east too: somebody must call the backend there."""
    reader.done(FAILOVER)
    lab, manifest = reader.lab, str(reader.folder / "client-deployment.yaml")
    lab.kubectl(EAST, "apply", "-f", manifest)
    for cluster, name in ((EAST, "frontend"), (EAST, "backend"), (WEST, "backend")):
        lab.kubectl(cluster, "rollout", "status", f"deploy/{name}", "--timeout", "60s")
    lab.wait(lambda: standbys_known(lab), what="a standby in cluster-west")
    return lab


def test_all_traffic_goes_to_the_local_backend(client_in_east: Lab) -> None:
    with load(client_in_east, "backend", connections=4, requests=500, cluster=EAST) as running:
        result = running.finish()
    assert result["failed"] == 0, result["failures"]
    assert set(result["pods"]) == pods(client_in_east, EAST, "backend")


def test_when_the_local_backend_fails_the_remote_one_answers_and_no_request_fails(client_in_east: Lab) -> None:
    local = client_in_east.get(EAST, "pods", "-l", "app=backend")
    remote = pods(client_in_east, WEST, "backend")
    targets = [number for pod in local for number in inside.processes(client_in_east, EAST, pod)]
    with load(client_in_east, "backend", connections=4, requests=1, seconds=5, rate=300, cluster=EAST) as running:
        running.answered(400)
        inside.kill(targets)
        result = running.finish()
    print(f"{len(targets)} processes killed: {result}")
    assert result["failed"] == 0, result["failures"]
    assert sum(result["pods"].get(pod, 0) for pod in remote) > 0


def test_monitoring(reader: Reader) -> None:
    reader.follow(MONITORING)


def test_the_gateways_metrics_are_shown(reader: Reader) -> None:
    gateway, frontend = reader.printed(MONITORING, "linkerd viz stat")
    assert re.search(r"^linkerd-gateway +1/1 ", gateway, re.MULTILINE)
    assert re.search(r"^frontend +2/2 +100.00% ", frontend, re.MULTILINE)


def test_prometheus_knows_the_rate_and_the_latency_by_cluster(reader: Reader) -> None:
    reader.done(MONITORING)
    rate, latency = [it.command for it in reader.history if it.block.language == "promql"]
    reader.lab.wait(lambda: by_cluster(reader, rate).get(EAST, 0) > 0, what="a rate of requests to cluster-east")
    reader.lab.wait(lambda: by_cluster(reader, latency).get(EAST, 0) > 0, what="a latency of requests to cluster-east")


def test_configuring_gateway_high_availability(reader: Reader) -> None:
    reader.follow(AVAILABILITY)
    reader.lab.kubectl(WEST, "-n", EXTENSION, "rollout", "status", "deploy/linkerd-gateway", "--timeout", "90s")


def test_three_gateways_share_the_load_balancers_connections(reader: Reader) -> None:
    reader.done(AVAILABILITY)
    selected = ("pods", "-n", EXTENSION, "-l", "component=linkerd-gateway")
    reader.lab.wait(lambda: len(reader.lab.get(WEST, *selected)) == 3, what="three gateways, and the old one gone")
    gateways = reader.lab.get(WEST, *selected)
    address = gateway_address(reader.lab, WEST)
    source = inside.node_namespace(reader.lab, EAST)
    connections = [inside.dial(source, (address, GATEWAY_PORT)) for _ in range(30)]
    try:
        spaces = [inside.pod_namespace(reader.lab, WEST, pod) for pod in gateways]
        reader.lab.wait(
            lambda: all(inside.within(space, connected) > 0 for space in spaces), what="connections at every gateway"
        )
    finally:
        for connection in connections:
            connection.close()


def test_requests_pass_the_new_gateways(client_in_east: Lab, reader: Reader) -> None:
    reader.done(AVAILABILITY)
    assert answers(client_in_east, EAST, "backend-cluster-west")


def test_securing(reader: Reader) -> None:
    reader.follow(SECURING)


def test_the_gateway_has_a_spiffe_identity(reader: Reader) -> None:
    (printed,) = reader.printed(SECURING, f"{IN_THE_GATEWAYS_PROXY} linkerd-identity")
    domain = trust_domain(reader.lab, WEST)
    assert f"identity:   spiffe://{domain}/ns/{EXTENSION}/sa/linkerd-gateway" in printed


def test_the_gateways_proxy_is_ready(reader: Reader) -> None:
    (printed,) = reader.printed(SECURING, f"{IN_THE_GATEWAYS_PROXY} /linkerd-await")
    assert "ready" in printed


def test_the_gateway_talks_to_nobody_without_a_certificate(reader: Reader) -> None:
    reader.done(SECURING)
    address = gateway_address(reader.lab, EAST)
    for url in (f"http://{address}:{GATEWAY_PORT}/ready", f"https://{address}:{GATEWAY_PORT}/ready"):
        refused = reader.lab.node(WEST, "curl", "-sSk", "-m", "5", url, check=False)
        assert "curl: (" in refused


def test_debugging(reader: Reader) -> None:
    reader.follow(DEBUGGING)


def test_the_gateway_can_be_reached(reader: Reader) -> None:
    (printed,) = reader.printed(DEBUGGING, "curl -v telnet")
    assert f"Connected to {gateway_address(reader.lab, EAST)}" in printed


def test_the_shell_for_debugging_is_gone(reader: Reader) -> None:
    reader.done(DEBUGGING)
    reader.lab.wait(lambda: "test" not in pods(reader.lab, WEST), what="`--rm` removes the pod")


def test_the_gateways_health_is_shown(reader: Reader) -> None:
    (printed,) = reader.printed(DEBUGGING, "linkerd multicluster check")
    assert "√ probe services able to communicate with all gateway mirrors" in printed
    assert printed.splitlines()[-1] == HEALTHY


def test_endpoints_exist(reader: Reader) -> None:
    (printed,) = reader.printed(DEBUGGING, "kubectl get endpointslices")
    assert re.search(
        rf"^backend-cluster-east\S* +IPv4 +\d+ +{gateway_address(reader.lab, EAST)} ", printed, re.MULTILINE
    )


def test_removing_links_while_local_services_continue(reader: Reader) -> None:
    with load(reader.lab, "backend", connections=2, requests=200, seconds=3, rate=100, cluster=WEST) as running:
        running.answered(200)
        reader.follow(REMOVING)
        reader.lab.wait(lambda: not reader.lab.get(WEST, *MIRRORS), what="no mirrored service is left")
        result = running.finish()
    assert result["failed"] == 0, result["failures"]
    assert set(result["pods"]) == pods(reader.lab, WEST, "backend")


def test_nothing_of_the_removed_cluster_is_left(reader: Reader) -> None:
    reader.done(REMOVING)
    for kind in ("services", "endpointslices", "endpoints", "links"):
        left = {name for name in names(reader.lab.get(WEST, kind, "-A")) if EAST in name}
        assert not left, kind


def test_what_was_not_asked_to_go_stays(reader: Reader) -> None:
    """The other direction's Link, and the pods."""
    reader.done(REMOVING)
    assert names(reader.lab.get(EAST, "links", "-A")) == {f"linkerd-{WEST}"}
    assert len(pods(reader.lab, WEST, "frontend")) == 2


def test_every_block_of_the_tutorial_was_used(reader: Reader) -> None:
    reader.done(*reader.sections())
    assert reader.used == blocks(reader.text)


# --- words --------------------------------------------------------------------------------------------------------
def names(items: list[dict[str, Any]]) -> set[str]:
    return {item["metadata"]["name"] for item in items}


def pods(lab: Lab, cluster: str, app: str = "") -> set[str]:
    return names(lab.get(cluster, "pods", *(("-l", f"app={app}") if app else ())))


def trust_domain(lab: Lab, cluster: str) -> str:
    return str(lab.get(cluster, "configmap", "linkerd-identity-trust-roots", "-n", "linkerd")["data"]["trust-domain"])


def gateway_address(lab: Lab, cluster: str) -> str:
    (found,) = lab.get(cluster, "svc", "linkerd-gateway", "-n", EXTENSION)["status"]["loadBalancer"]["ingress"]
    return str(found["ip"])


def ask(lab: Lab, cluster: str, host: str) -> tuple[str, str]:
    """Head and body of an answer."""
    command = ("curl", "-sSi", "-m", "5", f"http://{host}:8080/health")
    printed = lab.exec(cluster, "deploy/frontend", *command, container="frontend").replace("\r", "")
    head, _, body = printed.partition("\n\n")
    return head, body


def answers(lab: Lab, cluster: str, host: str) -> bool:
    return " 200 " in ask(lab, cluster, host)[0].partition("\n")[0]


def stat(reader: Reader, *words: str) -> dict[str, str]:
    """The only row of `linkerd viz stat`, once it has latencies."""

    def row() -> dict[str, str]:
        answers(reader.lab, WEST, "backend-cluster-east")
        header, *rows = [line.split() for line in reader.lab.linkerd(WEST, "viz", "stat", *words).splitlines()][-2:]
        found = dict(zip(header, rows[0], strict=True))
        return found if found["LATENCY_P99"] != "-" else {}

    shown: dict[str, str] = reader.lab.wait(row, what="a row with latencies")
    return shown


def by_cluster(reader: Reader, query: str) -> dict[str, float]:
    """Cluster -> value, while requests are made."""
    answers(reader.lab, WEST, "backend-cluster-east")
    found = json.loads(reader.ask_prometheus(query))["data"]["result"]
    return {series["metric"]["dst_cluster"]: float(series["value"][1]) for series in found}


def standbys_known(lab: Lab) -> bool:
    """Whether proxies in east, once they were asked, have endpoints behind the local ones."""
    answers(lab, EAST, "backend")
    name = "backend.default.svc.cluster.local:8080"
    found = json.loads(lab.linkerd(EAST, "diagnostics", "endpoints", name, "-o", "json"))
    return {entry["priority"] for entry in found} == {0, 1}


def connected() -> int:
    """Connections to the gateway's port in the network namespace of this thread."""
    lines = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(local.endswith(f":{GATEWAY_PORT:04X}") and state == ESTABLISHED for _, local, _, state, *_ in fields)
