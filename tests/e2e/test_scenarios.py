"""What Linkerd's own multi-cluster tests ask for, asked of two clusters that were installed independently.

The networks are flat, as in those tests, since one mode needs it; source has no gateway, target has one.
"""

import base64
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.voting import DOUGHNUT, application, client, service, stateful, within
from tests.envoy.scraping import parse
from tests.lab_fixture import Lab, start

from isthmus import names

pytestmark = pytest.mark.lab

SOURCE, TARGET = "source", "target"
BOTH = (SOURCE, TARGET)
SPACE = "emojivoto"
EXTENSION = names.MULTICLUSTER_NAMESPACE
LINK = f"linkerd-{TARGET}"
ANOTHER_PORT = 4999
ACCOUNT = "foo"
EVIL = "evil.linkerd/*,evil"
LEFT_OUT = {"evil": "yes", "evil.linkerd/a": "b"}
TAKEN_OVER = {"good": "yes", "good.linkerd/c": "d"}
GREEN = "Status check results are √"
MIRROR = f"web-svc-{TARGET}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    path = tmp_path_factory.mktemp("scenarios") / "lab"
    try:
        yield start(path, "--flat", clusters=",".join(BOTH))
    finally:
        Lab(path, dict(os.environ)).isthmus("lab", "down", check=False)


@pytest.fixture(scope="module")
def installed(lab: Lab) -> Lab:
    """Linkerd, the extension, and the application, in both."""

    def install(cluster: str) -> None:
        lab.apply(cluster, lab.linkerd(cluster, "install", "--crds"))
        lab.apply(cluster, lab.linkerd(cluster, "install"))
        gateway = ("--gateway=false",) if cluster == SOURCE else ()
        excluded = ("excludedLabels", "excludedAnnotations")
        words = [f"--set=localServiceMirror.{each}={EVIL.replace(',', chr(92) + ',')}" for each in excluded]
        lab.apply(cluster, lab.linkerd(cluster, "multicluster", "install", *gateway, *words))
        rollout(lab, cluster, "linkerd", "deploy/linkerd-proxy-injector")
        lab.apply(cluster, *within(SPACE, CONTENT[cluster]))

    both(install)
    return lab


CONTENT = {
    TARGET: [
        *application("web-svc"),
        *application("nginx"),
        *stateful("nginx-statefulset", of="nginx-statefulset-svc"),
    ],
    SOURCE: [*application("web-svc"), *client("vote-bot")],
}


@pytest.fixture(scope="module")
def linked(installed: Lab) -> Lab:
    """Linked both ways, source with an account of its own in target."""

    def link(cluster: str) -> None:
        if cluster == SOURCE:
            installed.apply(
                TARGET, installed.linkerd(TARGET, "multicluster", "allow", "--service-account-name", ACCOUNT)
            )
            link_to_target(installed, account=ACCOUNT)
        else:
            words = ("link", "--cluster-name", SOURCE, "--gateway=false")
            installed.apply(TARGET, installed.linkerd(SOURCE, "multicluster", *words))

    both(link)

    def ready(cluster: str) -> None:
        for name in ("deploy/web-svc", *EXTRA[cluster]):
            rollout(installed, cluster, SPACE, name)
        words = ("wait", "link", "--all", "--for", "condition=Ready", "--timeout", "60s")
        installed.kubectl(cluster, "-n", EXTENSION, *words)

    both(ready)
    return installed


EXTRA = {TARGET: ("deploy/nginx", "statefulset/nginx-statefulset"), SOURCE: ("deploy/vote-bot",)}


# --- 1 to 7: installed, linked, checked ---------------------------------------------------------------------------
def test_01_two_clusters_are_installed_that_share_nothing(installed: Lab) -> None:
    roots = {cluster: trust(installed, cluster) for cluster in BOTH}
    assert roots[SOURCE] != roots[TARGET]
    assert both(lambda cluster: GREEN in checked(installed, cluster)) == [True, True]


def test_02_the_extension_has_a_gateway_where_it_was_asked_for_one(installed: Lab) -> None:
    rollout(installed, TARGET, EXTENSION, "deploy/linkerd-gateway")
    assert installed.get(TARGET, "deploy", "linkerd-gateway", "-n", EXTENSION)["status"]["readyReplicas"] == 1
    assert installed.get(TARGET, "service", "linkerd-gateway", "-n", EXTENSION)
    assert "NotFound" in installed.kubectl(SOURCE, "-n", EXTENSION, "get", "deploy", "linkerd-gateway", check=False)


def test_03_they_are_linked_both_ways_though_one_has_no_gateway(linked: Lab) -> None:
    for cluster, reason in ((SOURCE, "Alive"), (TARGET, "NoGateway")):
        (found,) = linked.get(cluster, "links", "-n", EXTENSION)
        conditions = {item["type"]: (item["status"], item["reason"]) for item in found["status"]["conditions"]}
        assert conditions["GatewayAlive"] == ("True", reason)
        assert conditions["TrustEstablished"] == ("True", "Established")


def test_04_check_is_content_in_both(linked: Lab) -> None:
    assert both(lambda cluster: GREEN in checked(linked, cluster, "multicluster")) == [True, True]


def test_05_another_account_may_do_what_a_link_needs_and_no_more(linked: Lab, tmp_path: Path) -> None:
    """The Link is ready with it; whoever took its credentials along gets little."""
    secret = linked.get(SOURCE, "secret", f"cluster-credentials-{TARGET}", "-n", EXTENSION)
    config = tmp_path / "taken"
    config.write_bytes(base64.b64decode(secret["data"][names.CREDENTIALS_KEY]))

    def taken(*words: str) -> str:
        return linked.node(SOURCE, "kubectl", "--kubeconfig", str(config), *words, check=False)

    assert "web-svc" in taken("get", "services", "-n", SPACE)
    account = f"system:serviceaccount:{EXTENSION}:{ACCOUNT}"
    for words in (("get", "secrets", "-A"), ("label", "service", "web-svc", "-n", SPACE, "taken=yes")):
        assert f'User "{account}" cannot' in taken(*words)


def test_06_gateways_counts_the_services_behind_them(linked: Lab) -> None:
    with labelled(linked, TARGET, "nginx", {names.EXPORTED: "true"}):
        linked.wait(lambda: gateways(linked)[:3] == [TARGET, "True", "1"], what="one service through target's gateway")
        assert len(gateways(linked)) == 4
    linked.wait(lambda: gateways(linked)[2] == "0", what="none any more")


# --- 8 to 12: what is exported ------------------------------------------------------------------------------------
def test_08_a_vote_from_the_other_cluster_arrives_through_the_gateway(linked: Lab) -> None:
    before = tunnels(linked)
    with labelled(linked, TARGET, "web-svc", {names.EXPORTED: "true"}):
        linked.wait(lambda: vote(linked, MIRROR), what="a vote is taken")
        assert voted(linked, TARGET)
        assert tunnels(linked) > before
        assert vote(linked, MIRROR)["client"] == f"spiffe://{trust(linked, SOURCE)}/ns/{SPACE}/sa/default"


def test_09_a_mirror_takes_over_metadata_but_for_what_was_excluded(linked: Lab) -> None:
    metadata = {**TAKEN_OVER, **LEFT_OUT}
    with (
        labelled(linked, TARGET, "web-svc", {names.EXPORTED: "true", **metadata}),
        labelled(linked, TARGET, "web-svc", metadata, verb="annotate"),
    ):
        wanted, unwanted = set(TAKEN_OVER.items()), set(LEFT_OUT)

        def follows(kind: str) -> bool:
            found = found_service(linked, SOURCE, MIRROR).get("metadata", {}).get(kind, {})
            return wanted <= set(found.items()) and not unwanted & set(found)

        linked.wait(lambda: follows("labels") and follows("annotations"), what="what is good, and nothing evil")


def test_10_a_pod_of_a_statefulset_is_called_by_its_name_and_counted_under_it(linked: Lab) -> None:
    host = f"nginx-statefulset-0.nginx-statefulset-svc-{TARGET}"
    with labelled(linked, TARGET, "nginx-statefulset-svc", {names.EXPORTED: "true"}):
        linked.wait(lambda: vote(linked, host), what="the pod answers to its name")
        assert vote(linked, host)["pod"] == "nginx-statefulset-0"
        (bot,) = linked.get(SOURCE, "pods", "-n", SPACE, "-l", "app=vote-bot")
        url = f"http://{bot['status']['podIP']}:{names.ADMIN_PORT}/metrics"
        whom = {
            "direction": "outbound",
            "tls": "true",
            "server_id": f"default.{SPACE}.serviceaccount.identity.linkerd.{trust(linked, TARGET)}",
            "dst_namespace": SPACE,
            "dst_pod": "nginx-statefulset-0",
            "dst_statefulset": "nginx-statefulset",
            "dst_serviceaccount": "default",
            "dst_cluster": TARGET,
        }
        assert parse(linked.node(SOURCE, "curl", "-sS", url)).total("request_total", **whom) >= 1


def test_11_a_vote_from_pod_to_pod_needs_no_gateway(linked: Lab) -> None:
    before = tunnels(linked)
    with labelled(linked, TARGET, "web-svc", {names.EXPORTED: "remote-discovery"}):
        linked.wait(lambda: vote(linked, MIRROR), what="a vote is taken")
        assert voted(linked, TARGET)
        labels = found_service(linked, SOURCE, MIRROR)["metadata"]["labels"]
        assert (labels[names.REMOTE_DISCOVERY], labels[names.REMOTE_SERVICE_LABEL]) == (TARGET, "web-svc")
        slices = ("endpointslices", "-n", SPACE, "-l", f"{names.SERVICE_NAME_LABEL}={MIRROR}")
        assert linked.get(SOURCE, *slices) == []
        assert tunnels(linked) == before


def test_12_a_federated_service_is_the_one_here_first_and_the_other_without_it(linked: Lab) -> None:
    name = "web-svc-federated"

    def metadata(cluster: str) -> dict[str, str]:
        return {names.FEDERATED: "member", "test-context": cluster, **LEFT_OUT}

    with labelled(linked, SOURCE, "web-svc", metadata(SOURCE)), labelled(linked, TARGET, "web-svc", metadata(TARGET)):
        linked.wait(lambda: annotations(linked, name) >= FEDERATED.items(), what="both are members")
        found = found_service(linked, SOURCE, name)
        assert found["metadata"]["labels"]["test-context"] == SOURCE
        assert not set(LEFT_OUT) & set(found["metadata"]["labels"])
        assert linked.get(SOURCE, "endpointslices", "-n", SPACE, "-l", f"{names.SERVICE_NAME_LABEL}={name}") == []
        linked.wait(lambda: vote(linked, name), what="a vote is taken")
        assert voted(linked, SOURCE)
        linked.kubectl(SOURCE, "-n", SPACE, "scale", "deploy/web-svc", "--replicas", "0")
        linked.wait(lambda: vote(linked, name).get("pod") in pods(linked, TARGET), what="target takes votes")
        assert voted(linked, TARGET)
        for cluster in BOTH:
            linked.apply(cluster, *within(SPACE, [service("web-svc", port=f"web-of-{cluster}")])[1:])
        linked.wait(
            lambda: found_service(linked, SOURCE, name)["spec"]["ports"][0]["name"] == f"web-of-{SOURCE}",
            what="the port is called as it is here",
        )


FEDERATED = {names.REMOTE_DISCOVERY: f"web-svc@{TARGET}", names.LOCAL_DISCOVERY_ANNOTATION: "web-svc"}


# --- by hand ------------------------------------------------------------------------------------------------------
def test_what_is_not_exported_any_more_is_gone_and_comes_back(linked: Lab) -> None:
    mirror = f"nginx-{TARGET}"
    for _ in range(2):
        with labelled(linked, TARGET, "nginx", {names.EXPORTED: "true"}):
            linked.wait(lambda: found_service(linked, SOURCE, mirror), what="the mirror")
        linked.wait(lambda: not found_service(linked, SOURCE, mirror), what="the mirror is gone")


def test_what_was_deleted_while_the_controller_was_away_is_gone_when_it_is_back(linked: Lab) -> None:
    controller, mirror = f"deploy/{names.MULTICLUSTER_CONTROLLER}", f"nginx-{TARGET}"
    linked.kubectl(TARGET, "-n", SPACE, "label", "service", "nginx", f"{names.EXPORTED}=true")
    linked.wait(lambda: found_service(linked, SOURCE, mirror), what="the mirror")
    linked.kubectl(SOURCE, "-n", EXTENSION, "scale", controller, "--replicas", "0")
    none = ("wait", controller, "--for", "jsonpath={.status.replicas}=0", "--timeout", "30s")
    linked.kubectl(SOURCE, "-n", EXTENSION, *none)
    linked.kubectl(TARGET, "-n", SPACE, "delete", "service", "nginx")
    assert found_service(linked, SOURCE, mirror)
    linked.kubectl(SOURCE, "-n", EXTENSION, "scale", controller, "--replicas", "1")
    linked.wait(lambda: not found_service(linked, SOURCE, mirror), what="the mirror is gone")
    linked.apply(TARGET, *within(SPACE, [service("nginx")])[1:])


def test_a_gateway_that_moves_to_another_port_is_followed(linked: Lab) -> None:
    linked.apply(TARGET, linked.linkerd(TARGET, "multicluster", "install", "--gateway-port", str(ANOTHER_PORT)))
    with labelled(linked, TARGET, "web-svc", {names.EXPORTED: "true"}):
        linked.wait(lambda: ports(linked, MIRROR) == [ANOTHER_PORT], what="the mirror leads to the other port")
        linked.wait(lambda: vote(linked, MIRROR), what="a vote is taken there")


def test_an_account_that_is_revoked_fails_the_check_and_linking_again_mends_it(linked: Lab) -> None:
    linked.kubectl(TARGET, "-n", EXTENSION, "delete", "serviceaccount", ACCOUNT)
    words = ("wait", f"link/{LINK}", "--for", "condition=Reachable=False", "--timeout", "30s")
    linked.kubectl(SOURCE, "-n", EXTENSION, *words)
    told = linked.linkerd(SOURCE, "multicluster", "check", "--wait", "1s", check=False)
    assert "× remote cluster access credentials are valid" in told  # noqa: RUF001
    assert GREEN not in told
    link_to_target(linked)
    assert GREEN in checked(linked, SOURCE, "multicluster")


# --- 7 and 13: at the end -----------------------------------------------------------------------------------------
def test_07_check_is_content_again_after_all_of_it(linked: Lab) -> None:
    assert both(lambda cluster: GREEN in checked(linked, cluster, "multicluster")) == [True, True]


def test_13_namespaces_go_and_nothing_hangs(linked: Lab) -> None:
    both(lambda cluster: linked.kubectl(cluster, "delete", "namespace", SPACE, "--timeout", "60s"))
    for cluster in BOTH:
        assert "NotFound" in linked.kubectl(cluster, "get", "namespace", SPACE, check=False)


# --- words --------------------------------------------------------------------------------------------------------
def both(do: Callable[[str], Any]) -> list[Any]:
    """The same in both clusters at once."""
    with ThreadPoolExecutor() as threads:
        return list(threads.map(do, BOTH))


def link_to_target(lab: Lab, *, account: str = names.REMOTE_ACCESS_ACCOUNT) -> None:
    excluded = ("--excluded-annotations", EVIL, "--excluded-labels", EVIL)
    words = ("link", "--cluster-name", TARGET, "--service-account-name", account, *excluded)
    lab.apply(SOURCE, lab.linkerd(TARGET, "multicluster", *words))


def checked(lab: Lab, cluster: str, *extension: str) -> str:
    return lab.linkerd(cluster, *extension, "check", "--wait", "60s")


def rollout(lab: Lab, cluster: str, namespace: str, name: str) -> None:
    lab.kubectl(cluster, "-n", namespace, "rollout", "status", name, "--timeout", "60s")


@contextmanager
def labelled(lab: Lab, cluster: str, name: str, pairs: dict[str, str], *, verb: str = "label") -> Iterator[None]:
    """A Service with labels, or annotations, that it loses again."""
    words = ("-n", SPACE, verb, "service", name)
    lab.kubectl(cluster, *words, "--overwrite", *(f"{key}={text}" for key, text in pairs.items()))
    try:
        yield
    finally:
        lab.kubectl(cluster, *words, *(f"{key}-" for key in pairs))


def found_service(lab: Lab, cluster: str, name: str) -> dict[str, Any]:
    printed = lab.kubectl(cluster, "-n", SPACE, "get", "service", name, "--ignore-not-found", "-o", "json")
    return dict(json.loads(printed)) if printed else {}


def annotations(lab: Lab, name: str) -> Any:
    return found_service(lab, SOURCE, name).get("metadata", {}).get("annotations", {}).items()


def ports(lab: Lab, name: str) -> list[int]:
    slices = lab.get(SOURCE, "endpointslices", "-n", SPACE, "-l", f"{names.SERVICE_NAME_LABEL}={name}")
    return [port["port"] for each in slices for port in each["ports"]]


def pods(lab: Lab, cluster: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in lab.get(cluster, "pods", "-n", SPACE)}


def vote(lab: Lab, host: str) -> dict[str, str]:
    """What the server says to a vote from source; nothing if it was not taken."""
    command = ("curl", "-s", "--fail", "--max-time", "5", f"http://{host}{DOUGHNUT}")
    words = ("-n", SPACE, "exec", "deploy/vote-bot", "-c", "bot", "--", *command)
    printed = lab.kubectl(SOURCE, *words, check=False)
    return dict(json.loads(printed)) if printed.startswith("{") else {}


def voted(lab: Lab, cluster: str) -> bool:
    """Whether a server of that cluster has written a vote to its log."""
    return f" {DOUGHNUT} " in lab.kubectl(cluster, "-n", SPACE, "logs", "deploy/web-svc", "-c", "server")


def gateways(lab: Lab) -> list[str]:
    return lab.linkerd(SOURCE, "multicluster", "gateways").splitlines()[1].split()


def tunnels(lab: Lab) -> float:
    """How many tunnels target's gateway has opened for source."""
    (pod,) = lab.get(TARGET, "pods", "-n", EXTENSION, "-l", "app=linkerd-gateway")
    url = f"http://{pod['status']['podIP']}:{names.ADMIN_PORT}/metrics"
    return parse(lab.node(TARGET, "curl", "-sS", url)).total("gateway_tunnel_open_total")


def trust(lab: Lab, cluster: str) -> str:
    roots = lab.get(cluster, "configmap", names.TRUST_ROOTS_CONFIG_MAP, "-n", names.CONTROL_PLANE_NAMESPACE)
    return str(roots["data"][names.TRUST_DOMAIN_KEY])
