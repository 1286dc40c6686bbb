"""`linkerd multicluster`, against real API servers with what `multicluster install` prints applied to them."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from isthmus import names
from isthmus.cli.control_plane import COMPONENTS
from isthmus.cli.main import cli
from isthmus.cli.multicluster_objects import parse_selector
from isthmus.kube.kinds import DEPLOYMENTS, LEASES
from isthmus.multicluster import tokens

from ..multicluster.clusters import CONFIG_MAPS, LINKS, NAMESPACE, ROLES, SERVICES, SLICES, Cluster, Gateway

Run = Callable[..., Awaitable[Result]]
VALUES = {"clusterDomain": "east.local", "identityTrustDomain": "east.example", "registry": "example.com/mesh"}
GOLDEN = Path(__file__).parent / "golden"
PROBE = {"period": "100ms", "timeout": "1s"}


@pytest.fixture
async def east() -> AsyncIterator[Cluster]:
    async with Cluster("east").running() as cluster:
        metadata = {"name": names.CONFIG_MAP, "namespace": names.CONTROL_PLANE_NAMESPACE}
        await cluster.client.create(CONFIG_MAPS, {"metadata": metadata, "data": {"values": yaml.safe_dump(VALUES)}})
        yield cluster


@pytest.fixture
def run(east: Cluster, tmp_path: Path) -> Run:
    """Runs a command against east; in a thread, because the API server lives in this one."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_bytes(east.kubeconfig(""))

    async def call(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, cli, ["--kubeconfig", str(kubeconfig), *arguments])

    return call


async def give_address(cluster: Cluster, *ingress: dict[str, str]) -> None:
    """What a load balancer does."""
    status = {"loadBalancer": {"ingress": list(ingress)}}
    await cluster.client.patch_status(SERVICES, names.GATEWAY, status, NAMESPACE)


async def all_running(cluster: Cluster) -> None:
    """As in a real cluster: Deployments are ready, and the controller renews its lease."""
    ready = {"readyReplicas": 1, "replicas": 1}
    await cluster.client.patch_status(DEPLOYMENTS, names.MULTICLUSTER_CONTROLLER, ready, NAMESPACE)
    labels = {"matchLabels": {"a": "b"}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    for name in COMPONENTS:
        metadata = {"name": name, "namespace": names.CONTROL_PLANE_NAMESPACE}
        spec = {"selector": labels, "template": template}
        await cluster.client.create(DEPLOYMENTS, {"metadata": metadata, "spec": spec})
        await cluster.client.patch_status(DEPLOYMENTS, name, ready, names.CONTROL_PLANE_NAMESPACE)
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    spec = {"holderIdentity": "test", "leaseDurationSeconds": 60, "renewTime": now}
    metadata = {"name": names.MULTICLUSTER_CONTROLLER, "namespace": NAMESPACE}
    await cluster.client.create(LEASES, {"metadata": metadata, "spec": spec})


async def linkable(cluster: Cluster) -> None:
    await give_address(cluster, {"ip": "203.0.113.10"}, {"hostname": "gw.example"})


async def test_install_takes_the_control_planes_settings(run: Run) -> None:
    result = await run("multicluster", "install")
    assert result.exit_code == 0, result.output
    objects = {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(result.stdout)}
    container = objects["Deployment", names.MULTICLUSTER_CONTROLLER]["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == f"example.com/mesh/controller:{names.VERSION}"
    assert "--cluster-domain=east.local" in container["args"]
    annotations = objects["Service", names.GATEWAY]["metadata"]["annotations"]
    assert annotations[names.GATEWAY_IDENTITY_ANNOTATION].endswith(".linkerd.east.example")


async def test_link_prints_a_secret_and_a_link_that_work_when_applied(run: Run, east: Cluster) -> None:
    await linkable(east)
    result = await run("multicluster", "link", "--cluster-name", "east", "--api-server-address", east.url)
    assert result.exit_code == 0, result.output
    secret, link = yaml.safe_load_all(result.stdout)
    assert secret["metadata"] == {"name": "cluster-credentials-east", "namespace": NAMESPACE}
    assert secret["type"] == "mirror.linkerd.io/remote-kubeconfig"
    assert link["metadata"]["name"] == "linkerd-east"
    expected = {
        "targetClusterName": "east",
        "targetClusterDomain": "east.local",
        "clusterCredentialsSecret": "cluster-credentials-east",
        "gatewayAddress": "203.0.113.10,gw.example",
        "gatewayPort": "4143",
        "gatewayService": "linkerd-multicluster/linkerd-gateway",
        "gatewayIdentity": "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.east.example",
        "probeSpec": {"path": "/ready", "port": "4191", "period": "3s"},
        "selector": {"matchLabels": {"mirror.linkerd.io/exported": "true"}},
        "targetTrustDomain": "east.example",
    }
    assert link["spec"].items() >= expected.items()
    assert link["spec"]["targetTrustBundle"] == east.roots
    await east.export()
    link["spec"] |= {"probeSpec": PROBE, "gatewayAddress": "203.0.113.10"}
    async with Cluster("west").running() as west, west.controller(), east.controller():
        for item in (secret, link):
            await west.client.create(await west.client.discover(item["apiVersion"], item["kind"]), item)
        await west.until(lambda: west.outcome("backend") == "Mirrored")
        await west.until(lambda: west.condition("TrustEstablished") == "True Established")


async def test_a_loopback_api_server_is_replaced_by_the_address_that_the_cluster_publishes(
    run: Run, east: Cluster
) -> None:
    await linkable(east)
    await east.client.patch(SLICES, "kubernetes", {"endpoints": [{"addresses": ["172.30.0.11"]}]}, "default")
    result = await run("mc", "link-gen", "--cluster-name=east", "-o", "json")
    assert result.exit_code == 0, result.output
    assert "only reachable from this machine" in result.stderr
    secret = json.loads(result.stdout)["items"][0]
    config = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))
    assert config["clusters"][0]["cluster"] == {
        "server": "http://172.30.0.11:6443",
        "certificate-authority-data": "Q0E=",
    }
    token = tokens.parse(config["users"][0]["user"]["token"])
    assert token is not None
    assert (token.namespace, token.account) == (NAMESPACE, names.REMOTE_ACCESS_ACCOUNT)
    assert token.life == 30 * 24 * 3600


async def test_a_node_port_gateway_is_given_by_address_and_port(run: Run, east: Cluster) -> None:
    spec = {"type": "NodePort", "ports": [{"name": "mc-gateway", "port": 4143, "nodePort": 30443}]}
    await east.client.patch(SERVICES, names.GATEWAY, {"spec": spec}, NAMESPACE)
    refused = await run("mc", "link", "--cluster-name=east", f"--api-server-address={east.url}")
    assert refused.exit_code == 1
    assert "--gateway-address=<node-ip>:30443" in refused.stderr
    for flags in (["--gateway-address=192.0.2.1:30443"], ["--gateway-addresses", "192.0.2.1"]):
        result = await run("mc", "link", "--cluster-name=east", f"--api-server-address={east.url}", *flags)
        assert result.exit_code == 0, result.output
        spec = list(yaml.safe_load_all(result.stdout))[1]["spec"]
        assert (spec["gatewayAddress"], spec["gatewayPort"]) == ("192.0.2.1", "30443")
        assert "gatewayService" not in spec


async def test_each_address_of_a_gateway_may_have_its_own_port(run: Run, east: Cluster) -> None:
    link = ("mc", "link", "--cluster-name=east", f"--api-server-address={east.url}")
    result = await run(*link, "--gateway-addresses=192.0.2.1:30443,gw.example,[2001:db8::1]:443,2001:db8::2")
    spec = list(yaml.safe_load_all(result.stdout))[1]["spec"]
    assert spec["gatewayAddress"] == "192.0.2.1:30443,gw.example:4143,[2001:db8::1]:443,[2001:db8::2]:4143"
    same = await run(*link, "--gateway-addresses=2001:db8::1,gw.example", "--gateway-port=7")
    spec = list(yaml.safe_load_all(same.stdout))[1]["spec"]
    assert (spec["gatewayAddress"], spec["gatewayPort"]) == ("2001:db8::1,gw.example", "7")
    refused = await run(*link, "--gateway-addresses=192.0.2.1:70000,1.2.3")
    assert refused.exit_code == 2
    assert "'192.0.2.1:70000' is no address of a gateway" in refused.stderr


async def test_link_without_a_gateway_or_with_a_name_that_cannot_be_used(run: Run, east: Cluster) -> None:
    result = await run("mc", "link", "--cluster-name=east", f"--api-server-address={east.url}", "--gateway=false")
    assert list(yaml.safe_load_all(result.stdout))[1]["spec"]["gatewayAddress"] == ""
    refused = await run("mc", "link", "--cluster-name=East_1")
    assert refused.exit_code == 2
    assert "lower-case letters" in refused.stderr


async def test_gateways_and_check_tell_what_the_controller_knows(run: Run, east: Cluster) -> None:
    await east.link(Cluster("north"), credentials=False, gatewayAddress="")
    empty = await run("mc", "gateways")
    assert empty.stdout == "CLUSTER  ALIVE    NUM_SVC      LATENCY\n"
    await east.unlink("linkerd-north")
    async with Cluster("west").running() as west, Gateway().running() as gateway, west.controller(gateway.url):
        await west.export()
        await west.serve("flat", labels={names.EXPORTED: "remote-discovery"})
        await west.serve("web", labels={names.FEDERATED: "member"})
        async with east.controller(gateway.url):
            await east.link(west)
            await east.until(lambda: east.condition("Ready", "linkerd-west") == "True Ready")
            await east.until(lambda: east.link_status("linkerd-west").get("services") == "2/2")
            await east.until(lambda: east.members("web-federated") == ("", "web@west"))
    shown = (await run("mc", "gateways")).stdout.splitlines()[1]
    assert re.fullmatch(r"west     True           2  {5,10}\d+ms", shown)
    (row,) = json.loads((await run("mc", "gateways", "-o", "json")).stdout)
    assert (row["clusterName"], row["alive"], row["numberOfServices"]) == ("west", True, 2)
    assert isinstance(row["latency"], int)
    assert [(each["address"], each["alive"]) for each in row["addresses"]] == [("203.0.113.10:4143", "True")]
    assert (await run("mc", "gateways", "-o", "wide")).stdout.splitlines()[1] == f"{shown}  203.0.113.10:4143"

    result = await run("mc", "check", "--wait", "0s", "-o", "json")
    assert result.exit_code == 1
    checks = json.loads(result.stdout)["categories"][1]["checks"]
    results = {check["description"]: check["result"] for check in checks}
    assert results["service mirror controllers are running"] == "error", checks
    assert results["clusters share trust anchors"] == "warning", "what Links say is not believed without a controller"
    await all_running(east)
    table = await run("mc", "check", "--wait", "0s")
    wrong = {line[2:] for line in table.stdout.splitlines() if line[0:1] in ("×", "‼")}  # noqa: RUF001
    assert wrong == {"Link and CLI versions match", "multicluster extension proxies are healthy"}, table.stdout


async def test_check_names_the_link_that_does_not_work_and_why(run: Run, east: Cluster) -> None:
    west = Cluster("west")
    async with east.controller():
        await east.link(west, credentials=False)
        await east.until(lambda: east.condition("Reachable", "linkerd-west") == "False SecretMissing")
    await all_running(east)
    result = await run("mc", "check", "--wait", "0s")
    assert result.exit_code == 1
    assert "    * linkerd-west: Secret linkerd-multicluster/cluster-credentials-west does not exist." in result.stdout


async def test_check_warns_of_credentials_that_nothing_renews_before_they_expire(run: Run, east: Cluster) -> None:
    await east.link(Cluster("west"), credentials=False)
    told = "The credentials for west expire at 2026-12-23T06:37:44Z and could not be renewed: forbidden."
    condition = {"type": "Reachable", "status": "True", "reason": "CredentialsNotRenewed", "message": told}
    await east.client.patch_status(LINKS, "linkerd-west", {"conditions": [condition]}, NAMESPACE)
    await all_running(east)
    result = await run("mc", "check", "--wait", "0s")
    assert "‼ remote cluster access credentials are renewed in time\n    * linkerd-west: " + told in result.stdout
    assert "√ remote cluster access credentials are valid" in result.stdout


async def test_uninstall_waits_for_links_to_be_gone_and_unlink_names_them(run: Run, east: Cluster) -> None:
    await east.link(Cluster("west"), credentials=False)
    assert (
        "no gateway of a linked cluster named north" in (await run("mc", "gateways", "--cluster-name", "north")).stderr
    )
    refused = await run("mc", "uninstall")
    assert refused.exit_code == 1
    assert "  * west" in refused.stderr
    printed = await run("mc", "unlink", "--cluster-name", "west")
    objects = [(item["kind"], item["metadata"]["name"]) for item in yaml.safe_load_all(printed.stdout)]
    assert objects == [("Link", "linkerd-west"), ("Secret", "cluster-credentials-west")]
    assert (await run("mc", "unlink", "--cluster-name", "north")).exit_code == 1
    assert "finalizers" not in printed.stderr, "nothing is stuck"
    await east.client.delete(LINKS, "linkerd-west", NAMESPACE)
    removed = await run("mc", "uninstall")
    kinds = [item["kind"] for item in yaml.safe_load_all(removed.stdout)]
    assert kinds[-1] == "Namespace"
    assert "CustomResourceDefinition" not in kinds


async def test_unlink_names_the_controllers_that_linkerd_made_for_each_link_if_they_are_there(
    run: Run, east: Cluster
) -> None:
    await east.link(Cluster("west"), credentials=False)
    none = await run("mc", "unlink", "--cluster-name", "west", "--only-controller")
    assert (none.exit_code, none.stdout) == (0, "")
    assert "no controller of its own for west" in none.stderr
    metadata = {"name": "linkerd-service-mirror-west", "namespace": NAMESPACE}
    await east.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    printed = await run("mc", "unlink", "--cluster-name", "west", "--only-controller")
    assert list(yaml.safe_load_all(printed.stdout)) == [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    ]


async def test_allow_prints_linkerds_objects_but_for_the_token_that_never_expires(run: Run) -> None:
    result = await run("mc", "allow", "--service-account-name", "partner", "--trust-domain", "partner.example")
    assert result.stdout == (GOLDEN / "allow.yaml").read_text()
    kept = await run("mc", "allow", "--service-account-name", "partner", "--token-secret")
    assert list(yaml.safe_load_all(kept.stdout))[-1] == {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "partner-token",
            "namespace": NAMESPACE,
            "labels": {"linkerd.io/extension": "multicluster"},
            "annotations": {"kubernetes.io/service-account.name": "partner"},
        },
    }


async def test_values_have_the_names_of_linkerds_chart_and_flags_are_short_for_them(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("gateway: {replicas: 2, serviceAnnotations: {a.example/b: c}}\n")
    result = await run(
        *("mc", "install", "--gateway-service-type=NodePort", "--gateway-port=4343", "-f", str(file)),
        *("--set", "gateway.nodePort=30443,controllerDefaults.enableNamespaceCreation=true"),
        *("--set-string", "controllerDefaults.logLevel=warn", "--service-mirror-credentials=false"),
    )
    assert result.exit_code == 0, result.output
    objects = {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(result.stdout)}
    service = objects["Service", names.GATEWAY]
    assert service["spec"]["type"] == "NodePort"
    (port,) = service["spec"]["ports"]
    assert (port["port"], port["nodePort"]) == (4343, 30443)
    assert service["metadata"]["annotations"]["a.example/b"] == "c"
    assert objects["Deployment", names.GATEWAY]["spec"]["replicas"] == 2
    container = objects["Deployment", names.MULTICLUSTER_CONTROLLER]["spec"]["template"]["spec"]["containers"][0]
    assert {"--log-level=warn", "--enable-namespace-creation=true"} <= set(container["args"])
    assert ("ServiceAccount", names.REMOTE_ACCESS_ACCOUNT) not in objects


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ("install", "--set", "gateway.replicsa=3"),
            1,
            'There is no value "gateway.replicsa"; the nearest is "gateway.re',
        ),
        (("install", "--set", "gateway.port=99999"), 1, "gateway.port is 99999: it must be 1 to 65535."),
        (("install", "--gateway-probe-port=4191"), 0, "--gateway-probe-port has no effect"),
        (("gateways", "--wait", "10s"), 0, "--wait has no effect"),
        (
            ("link", "--cluster-name=east", "--gateway=false", "--ha", "--set=a=b"),
            0,
            "note: --set has no effect: one controller serves all",
        ),
        (("link", "--cluster-name=east", "--gateway=false", "--gateway-port=1"), 2, "--gateway-port says how to use a"),
        (("link", "--cluster-name=east", "--gateway=false", "-l", "a=b"), 2, "--selector says how to use a gateway"),
        (("link", "--cluster-name=east", "--credentials-lifetime=5m"), 2, "makes no tokens for less than 10m"),
        (("link", "--cluster-name=east", "--dry-run"), 2, "--dry-run goes with --to-context"),
        (("link", "--cluster-name=east", "--to-gateway-port=1"), 2, "begin with --to- go with --to-context"),
        (("link",), 2, "Missing option '--cluster-name'"),
        (("link", "--cluster-name=east", "--service-account-name=nobody", "--gateway=false"), 1, "/nobody."),
    ],
)
async def test_what_has_no_effect_and_what_cannot_be_is_said(
    run: Run, words: tuple[str, ...], code: int, said: str
) -> None:
    result = await run("mc", *words)
    assert said in result.stderr
    assert result.exit_code == code, result.output


async def test_the_selectors_of_a_link_are_those_that_were_asked_for(run: Run, east: Cluster) -> None:
    await linkable(east)
    result = await run(
        *("mc", "link", "--cluster-name=east", f"--api-server-address={east.url}", "--gateway-addresses=gw:1,gx:1"),
        *("--remote-discovery-selector=flat=yes", "--federated-service-selector=", "--excluded-labels=a,b/*"),
    )
    spec = list(yaml.safe_load_all(result.stdout))[1]["spec"]
    assert spec["selector"] == {"matchLabels": {names.EXPORTED: "true"}}
    assert spec["remoteDiscoverySelector"] == {"matchLabels": {"flat": "yes"}}
    assert spec["federatedServiceSelector"] == {}
    assert spec["excludedLabels"] == ["a", "b/*"]
    assert (spec["gatewayAddress"], spec["gatewayPort"]) == ("gw,gx", "1")


async def test_two_contexts_are_linked_both_ways_and_a_dry_run_shows_how(east: Cluster, tmp_path: Path) -> None:
    async with Cluster("west").running() as west, east.controller(), west.controller():
        for cluster in (east, west):
            await cluster.client.apply(
                CONFIG_MAPS,
                {
                    "metadata": {"name": names.CONFIG_MAP, "namespace": names.CONTROL_PLANE_NAMESPACE},
                    "data": {"values": yaml.safe_dump(VALUES)},
                },
            )
        kubeconfig = tmp_path / "both"
        kubeconfig.write_text(yaml.safe_dump(contexts(east, west)))

        async def run(*words: str) -> Result:
            fixed = ["--kubeconfig", str(kubeconfig), "mc", "link", "--context=west", "--gateway=false", *words]
            here = [f"--api-server-address={west.url}", f"--to-api-server-address={east.url}"]
            return await asyncio.to_thread(CliRunner().invoke, cli, [*fixed, *here])

        planned = await run("--to-context=east", "--dry-run", "-o", "json")
        assert planned.exit_code == 0, planned.output
        assert set(json.loads(planned.stdout)) == {"east", "west"}
        assert not east.all("Link")

        done = await run("--to-context=east", "--wait=0s")
        assert done.exit_code == 0, done.output
        await west.until(lambda: west.condition("TrustEstablished") == "True Established")
        await east.until(lambda: east.condition("TrustEstablished", "linkerd-west") == "True Established")
        role = await east.client.get(ROLES, "linkerd-service-mirror-remote-access-west-trust", NAMESPACE)
        assert [rule.get("resourceNames") for rule in role["rules"]][1] == ["west.example"]

        assert "lead to the same cluster" in (await run("--to-context=west")).stderr
        assert (
            'Both clusters would be called "west"' in (await run("--to-context=east", "--to-cluster-name=west")).stderr
        )


def contexts(*clusters: Cluster) -> dict[str, Any]:
    return {
        "clusters": [{"name": each.name, "cluster": {"server": each.url}} for each in clusters],
        "users": [{"name": "user", "user": {}}],
        "contexts": [{"name": each.name, "context": {"cluster": each.name, "user": "user"}} for each in clusters],
        "current-context": clusters[0].name,
    }


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("a=b", {"matchLabels": {"a": "b"}}),
        ("a==b,c=", {"matchLabels": {"a": "b", "c": ""}}),
        ("a!=b", {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}),
        (
            "a in (b, c),!d",
            {
                "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["b", "c"]},
                    {"key": "d", "operator": "DoesNotExist"},
                ]
            },
        ),
        ("a", {"matchExpressions": [{"key": "a", "operator": "Exists"}]}),
    ],
)
def test_selectors_as_kubectl_writes_them(text: str, selector: dict[str, Any]) -> None:
    assert parse_selector(text) == selector
