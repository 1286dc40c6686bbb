"""Whatever breaks is named where a user looks: in the Link, in an event, and in `check`, first of all at its cause.

Faults that do not disturb each other are injected together, each in a Link of its own; those that concern the link
itself, or the controllers, one after the other. Afterwards everything is healed, and `check` is green again.
"""

import base64
import copy
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e import certificates, pretend
from tests.e2e.test_credentials import token_with_seconds_left
from tests.lab_fixture import EAST, WEST, Lab

from isthmus import names
from isthmus.kube import pki
from isthmus.mesh.model import Identity

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

NAMESPACE = names.MULTICLUSTER_NAMESPACE
LINK = f"linkerd-{EAST}"
CONTROLLER = f"deploy/{names.MULTICLUSTER_CONTROLLER}"
GATEWAY = f"deploy/{names.GATEWAY}"
EAST_NODE = "172.30.0.11"
QUICK = {"path": "/ready", "port": "4191", "period": "500ms", "failureThreshold": "2", "timeout": "2s"}
SKEW = 300
TABLE = "faults"
LONG_NAME = "a-service-whose-name-is-a-little-too-long-for-its-mirror"

CREDENTIALS = "remote cluster access credentials are valid"
TRUST = "clusters share trust anchors"
GATEWAYS = "probe services able to communicate with all gateway mirrors"
PROBES = "probes ask what gateways know"
MIRRORED = "all exported services are mirrored"
ENDPOINTS = "all mirror services have endpoints"
CONTROLLERS = "service mirror controllers are running"
VALID = "Link resources are valid"
ELSEWHERE = "Links lead to other clusters"
PLANE = "control plane components are running"
PROXIES = "multicluster extension proxies are healthy"


@dataclass(frozen=True)
class Named:
    """Where a fault must be named: the reason that its Link shows, the check that fails first, and its words."""

    reason: str
    check: str
    words: str
    result: str = "error"
    event: str = ""


SIDE: dict[str, Named] = {
    "nosecret": Named("SecretMissing", CREDENTIALS, "does not exist. Run `linkerd multicluster link"),
    "garbage": Named("SecretInvalid", CREDENTIALS, "does not hold a kubeconfig"),
    "stopped": Named("Unreachable", CREDENTIALS, "does not answer"),
    "foreignca": Named("CertificateNotTrusted", CREDENTIALS, "its certificate is not trusted"),
    "expired": Named("CredentialsExpired", CREDENTIALS, "expired at"),
    "revoked": Named(
        "CredentialsRejected", CREDENTIALS, "ServiceAccount linkerd-multicluster/fault-revoked was deleted"
    ),
    "forbidden": Named("Forbidden", CREDENTIALS, "does not permit these credentials to list endpointslices"),
    "skewed": Named("ClockSkew", TRUST, "of this cluster's; certificates bear 20 s"),
    "blocked": Named("Blocked", GATEWAYS, "a firewall or a route in between drops", event="GatewayDown"),
    "impostor": Named("WrongIdentity", GATEWAYS, "proves to be spiffe://", event="GatewayDown"),
    "elsewhere": Named("Untrusted", GATEWAYS, "The address leads to another cluster", event="GatewayDown"),
    "outdated": Named("CertificateExpired", GATEWAYS, "shows a certificate that expired at", event="GatewayDown"),
    "early": Named("CertificateNotYetValid", GATEWAYS, "valid only from", event="GatewayDown"),
    "nameless": Named("Unresolvable", GATEWAYS, "gateway.nowhere.example does not resolve"),
    "oddprobe": Named("ProbeNotKnown", PROBES, "answers 404 to probeSpec.path /wrong", result="warning"),
    "second": Named("DuplicateTarget", VALID, f"Link {LINK} is older and links {EAST} already"),
    "mirror": Named("TargetIsThisCluster", ELSEWHERE, "Its credentials lead to this cluster itself"),
}
"""Link -> where its fault must be named."""


# --- the faults that have a Link of their own ---------------------------------------------------------------------
def side_link(lab: Lab, name: str, **spec: Any) -> dict[str, Any]:
    """A Link to east as it is, but for what is wrong with it; it mirrors nothing."""
    good = lab.get(WEST, "link", LINK, "-n", NAMESPACE)["spec"]
    kept = {field: text for field, text in good.items() if not field.endswith(("Selector", "selector", "Service"))}
    secret = {"clusterCredentialsSecret": f"cluster-credentials-{name}"}
    return {
        "apiVersion": "multicluster.linkerd.io/v1alpha3",
        "kind": "Link",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "annotations": {names.CREATED_BY_ANNOTATION: f"linkerd/cli {names.VERSION}"},
        },
        "spec": {**kept, "targetClusterName": name, "probeSpec": QUICK, **secret, **spec},
    }


def secret(name: str, content: bytes) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": names.CREDENTIALS_SECRET_TYPE,
        "metadata": {"name": f"cluster-credentials-{name}", "namespace": NAMESPACE},
        "data": {names.CREDENTIALS_KEY: base64.b64encode(content).decode()},
    }


def good_kubeconfig(lab: Lab) -> dict[str, Any]:
    data = lab.get(WEST, "secret", f"cluster-credentials-{EAST}", "-n", NAMESPACE)["data"]
    return dict(yaml.safe_load(base64.b64decode(data[names.CREDENTIALS_KEY])))


def bent(config: dict[str, Any], *, token: str = "", **cluster: Any) -> bytes:
    made = copy.deepcopy(config)
    made["clusters"][0]["cluster"] |= cluster
    if token:
        made["users"][0]["user"]["token"] = token
    return yaml.safe_dump(made).encode()


def account(lab: Lab, name: str) -> str:
    """Another account of east for linking clusters; a token of it."""
    lab.apply(EAST, lab.linkerd(EAST, "multicluster", "allow", "--service-account-name", name))
    return lab.kubectl(EAST, "-n", NAMESPACE, "create", "token", name).strip()


@contextmanager
def pretenders(lab: Lab, folder: Path) -> Iterator[dict[str, int]]:
    """Servers at east's node: gateways whose certificates are too old and too new, an API server ahead of time."""
    domain, _ = certificates.trust(lab, EAST)
    issuer = certificates.issuer_of(lab, EAST)
    identity = Identity(domain, NAMESPACE, names.GATEWAY)
    shown = {
        "outdated": certificates.issue(issuer, identity, age=timedelta(hours=25)),
        "early": certificates.issue(issuer, identity, age=-timedelta(hours=1)),
        "elsewhere": certificates.issue(certificates.stranger(), identity),
        "skewed": certificates.issue(issuer, identity),
    }
    kinds: dict[str, Any] = {}
    for name, certificate in shown.items():
        chain, key = folder / f"{name}.pem", folder / f"{name}.key"
        chain.write_text(certificate.chain)
        key.write_text(certificate.key)
        kinds[name] = {"chain": str(chain), "key": str(key)}
    kinds["skewed"] |= {"upstream": [EAST_NODE, 6443], "ahead": SKEW}
    (folder / "kinds.json").write_text(json.dumps(kinds))
    process = lab.popen_node(EAST, sys.executable, pretend.__file__, str(folder / "kinds.json"))
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(timeout=10)


def side_faults(lab: Lab, ports: dict[str, int]) -> list[dict[str, Any]]:
    config = good_kubeconfig(lab)
    revoked = account(lab, "fault-revoked")
    lab.kubectl(EAST, "-n", NAMESPACE, "delete", "serviceaccount", "fault-revoked")
    stranger = pki.make_root("stranger").cert_pem
    node_port = lab.get(EAST, "service", names.GATEWAY, "-n", NAMESPACE)["spec"]["ports"][0]["nodePort"]
    domain = certificates.trust(lab, EAST)[0]
    other = names.identity_name(domain, NAMESPACE, "other")
    everything = {"selector": {"matchLabels": {names.EXPORTED: "true"}}}
    at_east = {"gatewayAddress": EAST_NODE}
    itself = list(yaml.safe_load_all(lab.linkerd(WEST, "multicluster", "link", "--cluster-name", "mirror")))
    own = next(item for item in itself if item and item["kind"] == "Secret")["data"][names.CREDENTIALS_KEY]
    good = bent(config)
    secrets = {
        "garbage": b"rubbish: [",
        "stopped": bent(config, server=f"https://{EAST_NODE}:1"),
        "foreignca": bent(config, **{"certificate-authority-data": base64.b64encode(stranger.encode()).decode()}),
        "expired": bent(config, token=token_with_seconds_left(lab, left=-60)),
        "revoked": bent(config, token=revoked),
        "forbidden": bent(config, token=account(lab, "fault-forbidden")),
        "skewed": bent(
            {**config, "clusters": [{"name": config["clusters"][0]["name"], "cluster": {}}]},
            server=f"https://{EAST_NODE}:{ports['skewed']}",
            **{"insecure-skip-tls-verify": True},
        ),
        "mirror": base64.b64decode(own),
    }
    changed: dict[str, dict[str, Any]] = {
        "forbidden": everything,
        "blocked": at_east | {"gatewayPort": str(node_port)},
        "impostor": {"gatewayIdentity": other},
        "elsewhere": at_east | {"gatewayPort": str(ports["elsewhere"])},
        "outdated": at_east | {"gatewayPort": str(ports["outdated"])},
        "early": at_east | {"gatewayPort": str(ports["early"])},
        "nameless": {"gatewayAddress": "gateway.nowhere.example"},
        "oddprobe": {"probeSpec": QUICK | {"path": "/wrong"}},
        "second": {"targetClusterName": EAST},
        "mirror": {
            "targetTrustDomain": certificates.trust(lab, WEST)[0],
            "targetTrustBundle": certificates.trust(lab, WEST)[1],
        },
    }
    given = {name: secrets.get(name, good) for name in SIDE if name != "nosecret"}
    return [
        *(secret(name, content) for name, content in given.items()),
        *(side_link(lab, name, **changed.get(name, {})) for name in SIDE),
    ]


def service(
    name: str, namespace: str = "default", *, mode: str = names.EXPORTED, headless: bool = False
) -> dict[str, Any]:
    value = "true" if mode == names.EXPORTED else "member"
    spec = {"ports": [{"port": 80}], "selector": {"app": "nobody"}}
    metadata = {"name": name, "namespace": namespace, "labels": {mode: value, "fault": "injected"}}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": spec | ({"clusterIP": "None"} if headless else {}),
    }


UNMIRRORED = {
    "only-east/lost": "Namespace only-east does not exist in this cluster",
    "default/taken": f"A Service default/taken-{EAST} that is not a mirror of {EAST} exists already",
    f"default/{LONG_NAME}": "characters; a Service name has 63 at most",
    "default/bodiless": "A headless Service cannot be a member of a federated service",
}


@pytest.fixture
def injected(mesh: Lab, tmp_path: Path) -> Iterator[Lab]:
    """All faults that do not disturb each other, at once; afterwards nothing of them is left."""
    lab = mesh
    there = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "only-east"}}
    squatter = service(f"taken-{EAST}")
    squatter["metadata"]["labels"] = {"fault": "injected"}
    bodiless = service("bodiless", mode=names.FEDERATED, headless=True)
    with pretenders(lab, tmp_path) as ports:
        objects = side_faults(lab, ports)
        try:
            filtered(lab, EAST, "tcp dport", ports_of_gateway(lab))
            lab.apply(WEST, squatter)
            lab.apply(EAST, there, service("lost", "only-east"), service("taken"), service(LONG_NAME), bodiless)
            lab.apply(EAST, service("deserted"))
            lab.apply(WEST, *objects)
            yield lab
        finally:
            unfiltered(lab, EAST)
            kinds = {item["kind"] for item in objects}
            for kind in kinds:
                found = [item["metadata"]["name"] for item in objects if item["kind"] == kind]
                lab.kubectl(WEST, "-n", NAMESPACE, "delete", kind, *found, "--ignore-not-found")
            lab.kubectl(WEST, "delete", "service", "-l", "fault=injected")
            lab.kubectl(EAST, "delete", "service", "-l", "fault=injected")
            lab.kubectl(EAST, "delete", "namespace", "only-east", "--wait=false")
            for name in ("fault-revoked", "fault-forbidden"):
                printed = lab.linkerd(EAST, "multicluster", "allow", "--service-account-name", name)
                mine = [item for item in yaml.safe_load_all(printed) if item and item["kind"] != "Namespace"]
                for item in mine:
                    where = ("-n", item["metadata"].get("namespace", NAMESPACE))
                    lab.kubectl(EAST, *where, "delete", item["kind"], item["metadata"]["name"], "--ignore-not-found")


def take_permission(lab: Lab) -> None:
    role = [{"op": "replace", "path": "/rules/2/verbs", "value": ["get"]}]
    lab.kubectl(EAST, "patch", "clusterrole", "fault-forbidden", "--type=json", "-p", json.dumps(role))


def ports_of_gateway(lab: Lab) -> str:
    return str(lab.get(EAST, "service", names.GATEWAY, "-n", NAMESPACE)["spec"]["ports"][0]["nodePort"])


def filtered(lab: Lab, cluster: str, match: str, value: str) -> None:
    """A firewall at a cluster's node that drops packets without a word."""
    chain = "{ type filter hook prerouting priority -400; }"
    lab.node(cluster, "nft", f"add table ip {TABLE}; add chain ip {TABLE} in {chain}")
    lab.node(cluster, "nft", f"add rule ip {TABLE} in iifname eth0 {match} {value} drop")


def unfiltered(lab: Lab, cluster: str) -> None:
    lab.node(cluster, "nft", "delete", "table", "ip", TABLE, check=False)


def test_faults_of_links_and_services_are_each_named_at_their_cause(injected: Lab) -> None:
    lab = injected
    began = time.monotonic()
    seen: dict[str, float] = {}
    taken: list[float] = []

    def all_named() -> bool:
        now, found = time.monotonic(), reasons(lab)
        if not taken and "Connected" in found["forbidden"]:
            take_permission(lab)
            taken.append(now)
        for name, named in SIDE.items():
            if named.reason in found[name]:
                seen.setdefault(name, now - (taken[0] if name == "forbidden" else began))
        return len(seen) == len(SIDE)

    try:
        lab.wait(all_named, what="all Links to name their faults", timeout=45)
    finally:
        print("not named:", {name: found for name, found in reasons(lab).items() if name not in seen})
    told = check(lab, WEST)
    short = lab.linkerd(WEST, "multicluster", "check", "--wait", "0s", "-o", "short", check=False)
    shown = events(lab)
    for name, named in SIDE.items():
        where, line = first(told, f"* {name}: ")
        print(f"{name}: {named.reason}, {seen[name]:.1f} s; check: {where}")
        assert where == (named.check, named.result), f"{name}: {where}: {line}"
        assert named.words in line
        assert line in short
        assert (named.event or named.reason) in shown[name], f"{name}: {shown.get(name)}"
    for remote, words in UNMIRRORED.items():
        where, line = first(told, f"* {LINK}: {remote}: ")
        print(f"{remote}: check: {where}")
        assert where == (MIRRORED, "error")
        assert words in line
        assert f"{remote}: " in shown[LINK]["ServiceMirroringSkipped"]
    where, line = first(told, f"* default/deserted-{EAST}: ")
    assert where == (ENDPOINTS, "error")
    assert f"Service default/deserted of {EAST} has no ready pod" in line


# --- the faults of the link itself and of its controllers ---------------------------------------------------------
@pytest.fixture
def probed(mesh: Lab) -> Iterator[Lab]:
    """The Link's gateway is probed more often; afterwards everything is whole."""
    lab = mesh
    spec = lab.get(WEST, "link", LINK, "-n", NAMESPACE)["spec"]["probeSpec"]
    command = arguments(lab)
    patch_link(lab, {"probeSpec": QUICK})
    yield lab
    unfiltered(lab, EAST)
    patch_link(lab, {"probeSpec": spec})
    if arguments(lab) != command:
        start_with(lab, command)
    for cluster in (EAST, WEST):
        scale(lab, cluster, CONTROLLER, 1)
        scale(lab, cluster, GATEWAY, 1)
    scale(lab, EAST, f"deploy/{names.IDENTITY_DEPLOYMENT}", 1, namespace="linkerd")
    lab.linkerd(WEST, "multicluster", "check", "--wait", "60s")


def arguments(lab: Lab) -> list[str]:
    """Of west's Link controller."""
    found = lab.get(WEST, CONTROLLER, "-n", NAMESPACE)["spec"]["template"]["spec"]["containers"][0]["args"]
    return list(found)


def start_with(lab: Lab, command: list[str]) -> None:
    change = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": command}]
    lab.kubectl(WEST, "-n", NAMESPACE, "patch", CONTROLLER, "--type=json", "-p", json.dumps(change))


def patch_link(lab: Lab, spec: dict[str, Any]) -> None:
    lab.kubectl(WEST, "-n", NAMESPACE, "patch", "link", LINK, "--type=merge", "-p", json.dumps({"spec": spec}))


def test_a_cluster_that_cannot_be_reached_and_a_gateway_without_pods_or_certificates(probed: Lab) -> None:
    lab = probed
    lab.linkerd(WEST, "multicluster", "check", "--wait", "20s")
    began = time.monotonic()
    filtered(lab, EAST, f"ip daddr {EAST_NODE} tcp dport", "6443")
    scale(lab, EAST, GATEWAY, 0)
    named(lab, "GatewayAlive", "Down", began)
    named(lab, "Reachable", "Unreachable", began)
    told = check(lab, WEST)
    assert first(told, "does not answer (asked for")[0] == (CREDENTIALS, "error")
    where, line = first(told, "refuses the connection")
    assert where == (GATEWAYS, "warning")
    assert f"Nor does the API server of {EAST} answer: the cluster is away" in line
    assert f"check that {GATEWAY} runs in {EAST}" in line
    assert "ProbeNotKnown" not in events(lab).get(LINK, {}), "a probe that fails is no answer"
    assert first(check(lab, EAST), "other clusters cannot reach this one")[0] == (PROXIES, "error")

    unfiltered(lab, EAST)
    healed = time.monotonic()
    scale(lab, EAST, f"deploy/{names.IDENTITY_DEPLOYMENT}", 0, namespace="linkerd")
    scale(lab, EAST, GATEWAY, 1)
    named(lab, "Reachable", "Connected", healed)
    lab.wait(lambda: gateway_starts(lab), what="a gateway that waits for its certificate")
    began = time.monotonic()
    told = check(lab, EAST)
    where, line = first(told, f"Deployment linkerd/{names.IDENTITY_DEPLOYMENT} has no ready replica")
    assert where == (PLANE, "error")
    assert "so no proxy gets or renews its certificate" in line
    assert all(result == "warning" for description, result, _ in told if description == PROXIES)
    print(f"identity away: {time.monotonic() - began:.1f} s; check in {EAST}: {where}")
    assert first(check(lab, WEST), f"* {LINK}: The gateway at")[0] == (GATEWAYS, "error")
    scale(lab, EAST, f"deploy/{names.IDENTITY_DEPLOYMENT}", 1, namespace="linkerd")
    named(lab, "GatewayAlive", "Alive", time.monotonic(), timeout=60)
    lab.linkerd(WEST, "multicluster", "check", "--wait", "30s")


def test_a_controller_that_is_away_or_crashes_is_named_and_what_links_say_is_not_believed(probed: Lab) -> None:
    lab = probed
    lab.linkerd(WEST, "multicluster", "check", "--wait", "20s")
    began = time.monotonic()
    scale(lab, WEST, CONTROLLER, 0)
    where, line = first(check(lab, WEST), "is scaled to 0")
    print(f"no controller: {time.monotonic() - began:.1f} s; check: {where}")
    assert where == (CONTROLLERS, "error")
    assert "scale deploy/linkerd-multicluster-controller --replicas 1" in line
    unbelieved(check(lab, WEST))

    command = arguments(lab)
    start_with(lab, ["no-such-room"])
    began = time.monotonic()
    scale(lab, WEST, CONTROLLER, 1)
    line = lab.wait(lambda: crash(check(lab, WEST)), what="the crash to be named", timeout=30)
    print(f"controller crashes: {time.monotonic() - began:.1f} s; check: {CONTROLLERS}")
    assert "--previous` says why" in line
    unbelieved(check(lab, WEST))

    (registration,) = lab.get(EAST, "federatedtrustdomains", "-n", NAMESPACE)
    scale(lab, EAST, CONTROLLER, 0)
    lab.kubectl(EAST, "-n", NAMESPACE, "delete", "federatedtrustdomain", registration["metadata"]["name"])
    start_with(lab, command)
    named(lab, "TrustEstablished", "Undecided", time.monotonic(), timeout=60)
    where, line = first(check(lab, WEST), "has not decided on the registration")
    assert where == (TRUST, "error")
    assert f"run `linkerd multicluster check` in {EAST}" in line
    assert first(check(lab, EAST), "is scaled to 0")[0] == (CONTROLLERS, "error")
    scale(lab, EAST, CONTROLLER, 1)
    named(lab, "TrustEstablished", "Established", time.monotonic(), timeout=60)


# --- words --------------------------------------------------------------------------------------------------------
Told = list[tuple[str, str, str]]
"""Description, result and error of each check, in order."""


def check(lab: Lab, cluster: str) -> Told:
    printed = lab.linkerd(cluster, "multicluster", "check", "--wait", "0s", "-o", "json", check=False)
    found = json.loads(printed)
    told = [
        (each["description"], each["result"], each.get("error", ""))
        for category in found["categories"]
        for each in category["checks"]
    ]
    assert found["success"] == all(result != "error" for _, result, _ in told)
    return told


def find(told: Told, words: str) -> tuple[str, str, str] | None:
    """The first check that did not pass and says so: what a reader comes to first."""
    for description, result, error in told:
        line = next((line for line in error.splitlines() if words in line), "")
        if line:
            return description, result, line
    return None


def first(told: Told, words: str) -> tuple[tuple[str, str], str]:
    found = find(told, words)
    assert found is not None, f"nobody says {words!r}: {[each for each in told if each[2]]}"
    return found[:2], found[2]


def crash(told: Told) -> str:
    """What the check of controllers says of a crash, once it does: a container that starts has not crashed yet."""
    description, _, line = find(told, "crashes: it ended") or ("", "", "")
    return line if description == CONTROLLERS else ""


def unbelieved(told: Told) -> None:
    """No check that goes by what Links say passes or fails: it is not known."""
    for description, result, error in told:
        if description in (VALID, CREDENTIALS, TRUST, GATEWAYS, MIRRORED):
            assert result == "warning", f"{description}: {result}"
            assert error.startswith("not known, because no controller runs")


def reasons(lab: Lab) -> dict[str, set[str]]:
    """The reasons of a Link's conditions that are not true, or of one that is told although it is."""
    return {
        item["metadata"]["name"]: {each["reason"] for each in (item.get("status") or {}).get("conditions") or ()}
        for item in lab.get(WEST, "links", "-n", NAMESPACE)
    }


def named(lab: Lab, kind: str, reason: str, began: float, *, timeout: float = 30.0) -> None:
    def shows() -> bool:
        conditions = lab.get(WEST, "link", LINK, "-n", NAMESPACE)["status"]["conditions"]
        return any((each["type"], each["reason"]) == (kind, reason) for each in conditions)

    lab.wait(shows, what=f"{kind} to be {reason}", timeout=timeout)
    print(f"{kind} is {reason} after {time.monotonic() - began:.1f} s")


def events(lab: Lab) -> dict[str, dict[str, str]]:
    """Link -> reason -> messages of its warnings."""
    found: dict[str, dict[str, str]] = {}
    for event in lab.get(WEST, "events", "-n", NAMESPACE, "--field-selector", "type=Warning"):
        told = found.setdefault(event["involvedObject"]["name"], {})
        told[event["reason"]] = f"{told.get(event['reason'], '')}{event['message']}\n"
    return found


def scale(lab: Lab, cluster: str, deployment: str, replicas: int, *, namespace: str = NAMESPACE) -> None:
    lab.kubectl(cluster, "-n", namespace, "scale", deployment, "--replicas", str(replicas))
    if not replicas:
        gone = "jsonpath={.status.replicas}=0"
        lab.kubectl(cluster, "-n", namespace, "wait", deployment, "--for", gone, "--timeout", "60s")


def gateway_starts(lab: Lab) -> bool:
    """Whether a pod of the gateway runs, and none is ready."""
    pods = lab.get(EAST, "pods", "-n", NAMESPACE, "-l", f"component={names.GATEWAY}")
    return any(pod["status"].get("podIP") for pod in pods)
