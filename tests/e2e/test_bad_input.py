"""What is wrong is said where a user looks first, with the next step; nothing else is disturbed meanwhile."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from tests.e2e.observing import Stream, instances, traffic
from tests.lab_fixture import EAST, WEST, Lab

pytestmark = pytest.mark.lab

NAMESPACE = "linkerd-multicluster"
LINK = "linkerd-cluster-east"
NOBODY = "172.30.200.200"
"""An address of the lab's outside network that nobody has."""
QUICK = {"path": "/ready", "port": "4191", "period": "500ms", "failureThreshold": "2", "timeout": "500ms"}
IDENTITY = "https://linkerd-identity.linkerd.svc.cluster.local:8080/certify"
TOKEN = "/var/run/secrets/tokens/linkerd-identity-token"


@pytest.fixture
def requests(mesh: Lab) -> Iterator[Stream]:
    """Traffic over the healthy Link, of which no request may fail while something else is wrong."""
    before = instances(mesh, WEST), instances(mesh, EAST)
    with traffic(mesh) as seen:
        yield seen
        seen.first(lambda text: text.startswith("200"), since=time.monotonic())
        failed = [line.text for line in seen.since(0) if not line.text.startswith("200")]
    assert not failed
    healthy = mesh.get(WEST, "link", LINK, "-n", NAMESPACE)["status"]
    assert (healthy["ready"], healthy["services"]) == ("True", "1/1")
    assert (instances(mesh, WEST), instances(mesh, EAST)) == before


def link(name: str, *, gateway: str = NOBODY) -> dict[str, Any]:
    return {
        "apiVersion": "multicluster.linkerd.io/v1alpha3",
        "kind": "Link",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "targetClusterName": name,
            "targetClusterDomain": "cluster.local",
            "targetClusterLinkerdNamespace": "linkerd",
            "clusterCredentialsSecret": f"cluster-credentials-{name}",
            "gatewayAddress": gateway,
            "gatewayPort": "4143",
            "gatewayIdentity": "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.elsewhere",
            "probeSpec": QUICK,
            "selector": {"matchLabels": {"mirror.linkerd.io/exported": "true"}},
        },
    }


def secret(name: str, content: bytes) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "mirror.linkerd.io/remote-kubeconfig",
        "metadata": {"name": f"cluster-credentials-{name}", "namespace": NAMESPACE},
        "data": {"kubeconfig": base64.b64encode(content).decode()},
    }


def kubeconfig(server: str, token: str = "forged") -> bytes:
    return yaml.safe_dump(
        {
            "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
    ).encode()


def event(lab: Lab, name: str, reason: str, *, says: str, namespace: str = NAMESPACE) -> str:
    """Wait for an event about an object; what `kubectl get events` shows."""
    words = ("-n", namespace, "get", "events", "--field-selector", f"involvedObject.name={name},reason={reason}")

    def told() -> str:
        shown = lab.kubectl(WEST, *words)
        return shown if says in shown else ""

    return str(lab.wait(told, what=f"an event {reason} of {name} that says {says!r}", timeout=10))


WRONG = {
    "unreachable": (kubeconfig(f"https://{NOBODY}:6443"), "Unreachable", "does not answer"),
    "refusing": (kubeconfig("https://172.30.0.11:1"), "Unreachable", "https://172.30.0.11:1) does not answer"),
    "missing": (None, "SecretMissing", "Secret linkerd-multicluster/cluster-credentials-missing does not exist"),
    "garbage": (b"rubbish: [", "SecretInvalid", "Secret linkerd-multicluster/cluster-credentials-garbage"),
    "empty": (b"{}", "SecretInvalid", "Secret linkerd-multicluster/cluster-credentials-empty"),
    "forged": (kubeconfig("https://172.30.0.11:6443"), "CredentialsRejected", "Run `linkerd multicluster link"),
}
"""Link -> what its Secret holds, the reason that `kubectl get link` shows, and what its message says."""


def test_a_link_that_cannot_work_says_why_in_kubectl_get_events_and_check(mesh: Lab, requests: Stream) -> None:
    secrets = [secret(name, content) for name, (content, _, _) in WRONG.items() if content is not None]
    mesh.apply(WEST, *secrets, *(link(name) for name in WRONG))
    try:
        for name, (_, reason, sentence) in WRONG.items():
            condition = f"jsonpath={{.status.reason}}={reason}"
            mesh.kubectl(WEST, "-n", NAMESPACE, "wait", f"link/{name}", "--for", condition, "--timeout", "20s")
            status = mesh.get(WEST, "link", name, "-n", NAMESPACE)["status"]
            reachable = next(item for item in status["conditions"] if item["type"] == "Reachable")
            assert (reachable["status"], reachable["reason"]) == ("False", reason)
            assert sentence in reachable["message"]
            assert f"linkerd multicluster link --cluster-name {name}" in reachable["message"] or reason == "Unreachable"
            event(mesh, name, reason, says=sentence)
        rows = {row.split()[0]: row.split() for row in mesh.kubectl(WEST, "-n", NAMESPACE, "get", "links").splitlines()}
        for name, (_, reason, _) in WRONG.items():
            assert rows[name][-3:-1] == ["False", reason]
        assert rows[LINK][3:7] == ["True", "1/1", "True", "Ready"]
        told = mesh.linkerd(WEST, "multicluster", "check", "--wait", "1s", check=False)
        for name, (_, _, sentence) in WRONG.items():
            assert any(f"* {name}: " in line and sentence in line for line in told.splitlines()), told
            assert "Status check results are ×" in told  # noqa: RUF001
    finally:
        mesh.kubectl(WEST, "-n", NAMESPACE, "delete", "links", *WRONG)
        mesh.kubectl(WEST, "-n", NAMESPACE, "delete", "secrets", *(item["metadata"]["name"] for item in secrets))
    assert "LeftBehind" not in mesh.kubectl(WEST, "-n", NAMESPACE, "get", "events")


@contextmanager
def probed(lab: Lab, *, every: str) -> Iterator[None]:
    """The Link's gateway is probed more often, so that a test need not wait."""
    words = ("-n", NAMESPACE, "patch", "link", LINK, "--type", "merge", "-p")
    spec = lab.get(WEST, "link", LINK, "-n", NAMESPACE)["spec"]["probeSpec"]
    lab.kubectl(WEST, *words, json.dumps({"spec": {"probeSpec": {"period": every}}}))
    yield
    lab.kubectl(WEST, *words, json.dumps({"spec": {"probeSpec": spec}}))


def test_a_gateway_that_is_away_is_told_everywhere_and_everything_is_well_when_it_is_back(mesh: Lab) -> None:
    before = instances(mesh, WEST)
    with traffic(mesh) as requests, probed(mesh, every="500ms"):
        mesh.kubectl(EAST, "-n", NAMESPACE, "scale", "deployment/linkerd-gateway", "--replicas", "0")
        began = time.monotonic()
        try:
            down = requests.first(lambda text: text.startswith("503"), since=began, what="a refusal")
            assert len(down.text) > len("503 "), "the refusal carries its reason"
            words = ("wait", f"link/{LINK}", "--for", "condition=GatewayAlive=False", "--timeout", "40s")
            mesh.kubectl(WEST, "-n", NAMESPACE, *words)
            print(f"the Link says so after {time.monotonic() - began:.1f} s")
            status = mesh.get(WEST, "link", LINK, "-n", NAMESPACE)["status"]
            assert (status["alive"], status["ready"], status["reason"]) == ("False", "False", "Down")
            sentence = next(item["message"] for item in status["conditions"] if item["type"] == "GatewayAlive")
            assert "deploy/linkerd-gateway runs in cluster-east" in sentence
            row = mesh.linkerd(WEST, "multicluster", "gateways").splitlines()[1]
            assert row.split() == ["cluster-east", "False", "1", "-"]
            told = mesh.linkerd(WEST, "multicluster", "check", "--wait", "1s", check=False)
            assert "× probe services able to communicate with all gateway mirrors" in told  # noqa: RUF001
            assert "deploy/linkerd-gateway runs in cluster-east" in told
            ends = mesh.get(WEST, "endpointslice", "backend-cluster-east")["endpoints"]
            assert [item["conditions"]["ready"] for item in ends] == [False]
        finally:
            mesh.kubectl(EAST, "-n", NAMESPACE, "scale", "deployment/linkerd-gateway", "--replicas", "1")
        back = time.monotonic()
        requests.first(lambda text: text.startswith("200"), since=back, what="traffic again", timeout=30)
        print(f"traffic again {time.monotonic() - back:.1f} s after the gateway was asked for")
        mesh.kubectl(WEST, "-n", NAMESPACE, "wait", f"link/{LINK}", "--for", "condition=Ready", "--timeout", "60s")
    assert mesh.linkerd(WEST, "multicluster", "gateways").splitlines()[1].split()[1] == "True"
    mesh.linkerd(WEST, "multicluster", "check", "--wait", "10s")
    assert instances(mesh, WEST) == before


def pod(name: str, *, image: str = "your-registry/backend:latest", **annotations: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "annotations": annotations, "labels": {"app": name}}
    spec = {"containers": [{"name": "main", "image": image}], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        ("config.linkerd.io/skip-inbound-ports", "abc"),
        ("config.linkerd.io/opaque-ports", "70000"),
        ("config.linkerd.io/skip-outbound-ports", "9-1"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_named_with_its_value(mesh: Lab, annotation: str, value: str) -> None:
    wanted = pod("bad", **{"linkerd.io/inject": "enabled", annotation: value})
    told = mesh.kubectl(WEST, "apply", "-f", "-", stdin=json.dumps(wanted), check=False)
    assert annotation in told
    assert value in told
    assert "Traceback" not in told


def test_a_deployment_with_such_an_annotation_shows_it_in_its_events_and_conditions(
    mesh: Lab, requests: Stream
) -> None:
    annotation = "config.linkerd.io/skip-inbound-ports"
    wanted = pod("bad", **{"linkerd.io/inject": "enabled", annotation: "abc"})
    template = {part: wanted[part] for part in ("metadata", "spec")}
    mesh.apply(
        WEST,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "bad", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "bad"}}, "template": template},
        },
    )
    try:
        words = ("get", "events", "--field-selector", "reason=FailedCreate,involvedObject.kind=ReplicaSet")
        told = mesh.wait(lambda: mesh.kubectl(WEST, *words), what="an event", timeout=10)
        assert f"annotation {annotation}: 'abc'" in told
        wait = ("wait", "deployment/bad", "--for", "condition=ReplicaFailure", "--timeout", "10s")
        mesh.kubectl(WEST, *wait)
        assert annotation in mesh.kubectl(WEST, "get", "deployment", "bad", "-o", "jsonpath={.status.conditions}")
    finally:
        mesh.kubectl(WEST, "delete", "deployment", "bad")


def test_an_unknown_image_says_so_and_what_to_do(mesh: Lab, requests: Stream) -> None:
    mesh.apply(WEST, pod("strange", image="example.org/strange:v1"))
    try:
        reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImagePull"
        mesh.kubectl(WEST, "wait", "pod/strange", "--for", reason, "--timeout", "10s")
        told = event(mesh, "strange", "Failed", says="is not known to the lab", namespace="default")
        assert 'image "example.org/strange:v1"' in told
        assert "isthmus lab image add example.org/strange" in told
    finally:
        mesh.kubectl(WEST, "delete", "pod", "strange")


@pytest.mark.parametrize(
    ("body", "code", "sentence"),
    [
        ('{"csr": "rubbish", "token": "$TOKEN"}', 400, "certificate"),
        ('{"csr": "", "token": "$TOKEN"}', 400, "certificate"),
        ("rubbish", 400, "JSON"),
        ('{"token": "$TOKEN"}', 400, "csr"),
        ('{"csr": "rubbish", "token": "forged"}', 401, "token"),
    ],
)
def test_a_malformed_certificate_request_is_answered_with_a_sentence(
    mesh: Lab, body: str, code: int, sentence: str
) -> None:
    data = body.replace('"', '\\"').replace("$TOKEN", f"$(cat {TOKEN})")
    script = f'curl -sk --max-time 5 -w " %{{http_code}}" {IDENTITY} -d "{data}"'
    told = mesh.exec(WEST, "deploy/frontend", "sh", "-c", script, container="linkerd-proxy")
    answer, _, status = told.rpartition(" ")
    assert int(status) == code, told
    assert sentence in json.loads(answer)["error"]


# --- permissions --------------------------------------------------------------------------------------------------
@pytest.fixture
def remote(mesh: Lab, tmp_path: Any) -> list[str]:
    """kubectl with what a Link carries, at east's address for this machine."""
    printed = mesh.linkerd(EAST, "multicluster", "link", "--cluster-name", "cluster-east")
    (found,) = {item["data"]["kubeconfig"] for item in yaml.safe_load_all(printed) if item and item["kind"] == "Secret"}
    config = yaml.safe_load(base64.b64decode(found))
    (user,) = config["users"]
    assert list(user["user"]) == ["token"]
    outside = yaml.safe_load(mesh.kubectl(EAST, "config", "view", "--raw", "--minify"))
    config["clusters"][0]["cluster"]["server"] = outside["clusters"][0]["cluster"]["server"]
    path = tmp_path / "remote.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return ["--kubeconfig", str(path), "--context", config["current-context"]]


FORBIDDEN = (
    ("get", "secrets", "-A"),
    ("get", "secret", "linkerd-identity-issuer", "-n", "linkerd"),
    ("get", "secrets", "-n", "linkerd-multicluster"),
    ("get", "configmaps", "-A"),
    ("get", "links", "-A"),
    ("get", "nodes"),
    ("create", "deployment", "intruder", "--image=x"),
    ("run", "intruder", "--image=x"),
    ("delete", "service", "backend"),
    ("annotate", "service", "backend", "intruder=yes"),
    ("delete", "pod", "-l", "app=backend"),
    ("exec", "deploy/backend", "--", "true"),
    ("create", "token", "default"),
    ("create", "token", "linkerd-multicluster-controller", "-n", "linkerd-multicluster"),
    ("create", "clusterrolebinding", "intruder", "--clusterrole=cluster-admin", "--serviceaccount=default:default"),
    ("auth", "can-i", "*", "*"),
)


def test_what_a_link_carries_may_do_nothing_but_its_part(mesh: Lab, remote: list[str]) -> None:
    allowed = mesh.kubectl(EAST, *remote, "get", "services", "-A", "--no-headers")
    assert "backend" in allowed
    for words in FORBIDDEN:
        told = mesh.kubectl(EAST, *remote, *words, check=False)
        assert "forbidden" in told.lower() or told.strip().endswith("no"), f"{words}: {told}"
    rules = mesh.kubectl(EAST, *remote, "auth", "can-i", "--list", "-n", NAMESPACE).splitlines()
    granted = {row.split()[0]: row[row.rindex("[") :] for row in rules[1:] if row.split()[0][0] not in "[*"}
    assert "secrets" not in granted
    reading = {"get", "list", "watch"}
    writes = {name for name, verbs in granted.items() if set(verbs.strip("[]").split()) - reading}
    reviews = {"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"}
    assert {name.partition(".")[0] for name in writes} - reviews <= {"federatedtrustdomains", "serviceaccounts/token"}
    assert mesh.get(EAST, "service", "backend")["metadata"]["annotations"].get("intruder") is None
