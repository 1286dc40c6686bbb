"""The command line: quick, documented, plain when piped, readable by programs, clear when something is wrong."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
import yaml
from tests.lab_fixture import BIN, EAST, WEST, Lab

from isthmus.cli.main import COMMANDS

pytestmark = pytest.mark.lab

HELP_SECONDS = 0.25
RUNS = 5
UNREACHABLE = "https://127.0.0.1:1"


def commands() -> Iterator[tuple[str, ...]]:
    """Every command and subcommand there is."""
    yield ()
    for name, (where, _) in COMMANDS.items():
        module, _, attribute = where.partition(":")
        yield from _below((name,), getattr(import_module(module), attribute))


def _below(words: tuple[str, ...], command: click.Command) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            if not child.hidden:  # those of Linkerd's that only say why they are not there
                yield from _below((*words, name), child)


@pytest.mark.parametrize("words", [*commands()], ids=" ".join)
def test_help_is_quick_and_shows_an_example(words: tuple[str, ...]) -> None:
    """Quick by its own CPU time, best of a few: what a busy machine adds is not the command's."""
    spent = HELP_SECONDS
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([BIN / "linkerd", *words, "--help"], capture_output=True, text=True, timeout=30)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        assert "Example" in done.stdout, done.stdout
        assert " ".join(words) in done.stdout
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if spent < HELP_SECONDS:
            return
    pytest.fail(f"`linkerd {' '.join(words)} --help` takes {spent:.2f} s of CPU")


@pytest.mark.parametrize("cluster", [EAST, WEST])
@pytest.mark.parametrize(
    "words",
    [
        ("check", "--wait", "20s"),
        ("check", "--proxy", "--wait", "20s"),
        ("multicluster", "check", "--wait", "20s"),
        ("multicluster", "gateways"),
        ("version",),
    ],
    ids=" ".join,
)
def test_what_is_piped_is_plain_text(mesh: Lab, cluster: str, words: tuple[str, ...]) -> None:
    printed = mesh.linkerd(cluster, *words)
    assert printed.strip()
    assert "\x1b" not in printed


def test_check_reads_like_linkerds(mesh: Lab) -> None:
    lines = mesh.linkerd(WEST, "check", "--wait", "20s").splitlines()
    assert lines[:3] == ["kubernetes-api", "--------------", "√ can query the Kubernetes API"]
    assert {"linkerd-existence", "linkerd-config", "linkerd-identity", "control-plane-version"} <= set(lines)
    assert lines[-1] == "Status check results are √"
    lines = mesh.linkerd(WEST, "multicluster", "check", "--wait", "20s").splitlines()
    expected = ["√ Link CRD exists", "√ Link resources are valid", "√ Link and CLI versions match"]
    expected += ["√ remote cluster access credentials are valid", "√ clusters share trust anchors"]
    assert [line for line in lines if line in expected] == expected
    assert lines[-1] == "Status check results are √"


def test_gateways_reads_like_linkerds(mesh: Lab) -> None:
    header, row = mesh.linkerd(WEST, "multicluster", "gateways").splitlines()
    assert header.split() == ["CLUSTER", "ALIVE", "NUM_SVC", "LATENCY"]
    name, alive, services, latency = row.split()
    assert (name, alive, services) == ("cluster-east", "True", "1")
    assert latency.endswith("ms")
    (found,) = json.loads(mesh.linkerd(WEST, "multicluster", "gateways", "-o", "json"))
    (address,) = found.pop("addresses")
    assert found == {"clusterName": "cluster-east", "alive": True, "numberOfServices": 1, "latency": found["latency"]}
    assert (address["alive"], address["address"].endswith(":4143")) == ("True", True)
    assert mesh.linkerd(EAST, "multicluster", "gateways").split() == header.split()


def test_json_is_json(mesh: Lab) -> None:
    for words in (("check",), ("multicluster", "check")):
        told = json.loads(mesh.linkerd(WEST, *words, "-o", "json"))
        assert told["success"] is True
        assert all(check["result"] == "success" for part in told["categories"] for check in part["checks"])
    assert json.loads(mesh.linkerd(WEST, "version", "-o", "json"))["server"] != "unavailable"
    for words in (("install",), ("multicluster", "install"), ("multicluster", "link", "--cluster-name", "x")):
        assert mesh.linkerd(EAST, *words, "-o", "json").lstrip().startswith("{")


def test_inject_marks_a_deployment_and_kubectl_takes_it(mesh: Lab) -> None:
    deployment = mesh.kubectl(EAST, "get", "deployment", "backend", "-o", "yaml")
    plain = yaml.safe_load(deployment)
    del plain["spec"]["template"]["metadata"]["annotations"]["linkerd.io/inject"]
    done = subprocess.run(
        [BIN / "linkerd", "inject", "-"], input=yaml.safe_dump(plain), capture_output=True, text=True, timeout=30
    )
    assert 'deployment "backend" injected' in done.stderr
    injected = yaml.safe_load(done.stdout)
    assert injected["spec"]["template"]["metadata"]["annotations"]["linkerd.io/inject"] == "enabled"
    again = subprocess.run(
        [BIN / "linkerd", "inject", "-"], input=done.stdout, capture_output=True, text=True, timeout=30
    )
    assert yaml.safe_load(again.stdout) == injected
    mesh.kubectl(EAST, "apply", "--dry-run=server", "-f", "-", stdin=done.stdout)


def test_installing_again_keeps_the_root_and_restarts_nothing(mesh: Lab) -> None:
    manifests = mesh.linkerd(EAST, "install")
    applied = mesh.kubectl(EAST, "apply", "-f", "-", stdin=manifests)
    assert {line.rpartition(" ")[2] for line in applied.splitlines()} == {"unchanged"}, applied


def test_identity_tells_who_a_pod_is_and_never_its_key(mesh: Lab) -> None:
    domain = mesh.get(EAST, "configmap", "linkerd-identity-trust-roots", "-n", "linkerd")["data"]["trust-domain"]
    pods = [item["metadata"]["name"] for item in mesh.get(EAST, "pods", "-l", "app=backend")]
    printed = mesh.linkerd(EAST, "identity", pods[0])
    assert f"spiffe://{domain}/ns/default/sa/default" in printed
    assert "KEY" not in printed
    assert mesh.linkerd(EAST, "identity", "-l", "app=backend").count("POD ") == len(pods)
    tutorial = mesh.exec(
        EAST, "deploy/linkerd-gateway", "linkerd-identity", namespace="linkerd-multicluster", container="linkerd-proxy"
    )
    assert f"spiffe://{domain}/ns/linkerd-multicluster/sa/linkerd-gateway" in tutorial


# --- what can go wrong --------------------------------------------------------------------------------------------
@pytest.fixture
def unreachable(mesh: Lab, tmp_path: Path) -> str:
    """A kubeconfig whose API servers do not answer."""
    config = yaml.safe_load(Path(mesh.environment["KUBECONFIG"]).read_text())
    for cluster in config["clusters"]:
        cluster["cluster"]["server"] = UNREACHABLE
    path = tmp_path / "unreachable.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return str(path)


def failing(lab: Lab, *words: str, **environment: str) -> str:
    """What a command that must fail prints on stderr and stdout."""
    done = subprocess.run(
        [BIN / "linkerd", *words], env=lab.environment | environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (1, 2), (done.returncode, done.stdout, done.stderr)
    told = done.stdout + done.stderr
    assert "Traceback" not in told
    return told


LINKING = ("multicluster", "link", "--cluster-name", "east")


@pytest.mark.parametrize(
    "words", [("check",), LINKING, ("multicluster", "check"), ("install",), ("version",)], ids=" ".join
)
def test_a_cluster_that_does_not_answer_is_named(mesh: Lab, unreachable: str, words: tuple[str, ...]) -> None:
    told = failing(mesh, *words, "--kubeconfig", unreachable, "--context", EAST)
    assert UNREACHABLE in told
    assert "Connection refused" in told


@pytest.mark.parametrize("words", [("check",), LINKING], ids=" ".join)
def test_a_context_that_does_not_exist_and_a_missing_kubeconfig_are_named(mesh: Lab, words: tuple[str, ...]) -> None:
    assert "nowhere" in failing(mesh, *words, "--context", "nowhere")
    assert "--context" in failing(mesh, *words, "--context", "nowhere")
    assert "/no/such/file" in failing(mesh, *words, "--kubeconfig", "/no/such/file")
    assert "/no/such/file" in failing(mesh, *words, KUBECONFIG="/no/such/file")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("check", "--bogus"), "--bogus"),
        (("frobnicate",), "frobnicate"),
        (("multicluster", "frobnicate"), "frobnicate"),
        (("check", "--wait", "soon"), "soon"),
        (("check", "-o", "xml"), "xml"),
        (("install", "--cluster-networks", "10.0.0/8"), "10.0.0/8"),
        (("install", "--identity-issuance-lifetime", "long"), "long"),
        (("multicluster", "link"), "--cluster-name"),
        (("multicluster", "link", "--cluster-name", "No Name"), "No Name"),
        (("multicluster", "link", "--cluster-name", "x", "--gateway-addresses", "a:1,b:port"), "--gateway-addresses"),
        (("multicluster", "unlink", "--cluster-name", "nobody"), "nobody"),
        (("multicluster", "install", "--gateway-service-type", "Magic"), "Magic"),
        (("inject", "/no/such/file"), "/no/such/file"),
        (("identity",), "-l"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_bad_flag_or_argument_is_named(mesh: Lab, words: tuple[str, ...], named: str) -> None:
    assert named in failing(mesh, *words, KUBECONFIG=mesh.environment["KUBECONFIG"])


def test_a_link_needs_the_extension_and_an_address_of_the_gateway(mesh: Lab) -> None:
    told = failing(mesh, *LINKING, "--context", EAST, "--gateway-name", "nobody")
    assert "linkerd-multicluster/nobody does not exist" in told
    assert "linkerd multicluster install" in told
    told = failing(mesh, *LINKING, "--context", EAST, "--namespace", "default")
    assert "no ServiceAccount default/linkerd-service-mirror-remote-access-default" in told
    assert "linkerd multicluster install" in told
    service = ("-n", "linkerd-multicluster", "patch", "service", "linkerd-gateway", "--type=merge", "-p")
    mesh.kubectl(EAST, *service, '{"spec": {"type": "NodePort"}}')
    try:
        told = failing(mesh, *LINKING, "--context", EAST)
        assert "--gateway-address=<node-ip>:" in told
    finally:
        mesh.kubectl(EAST, *service, '{"spec": {"type": "LoadBalancer"}}')
        address = "jsonpath={.status.loadBalancer.ingress[0].ip}"
        mesh.kubectl(EAST, "-n", "linkerd-multicluster", "wait", "service/linkerd-gateway", "--for", address)
    assert mesh.linkerd(EAST, *LINKING)


def test_the_lab_says_what_a_user_lacks_who_cannot_make_namespaces(tmp_path: Path) -> None:
    open_to_all = tmp_path / "lab"
    open_to_all.mkdir()
    os.chmod(open_to_all, 0o777)
    # Loaded as root: where the code lies may be closed to others.
    program = (
        "import os, sys; from isthmus.cli.main import main; from isthmus.cli import lab; "
        "from isthmus.lab import preflight, supervisor; os.setresuid(65534, 65534, 65534); main(sys.argv[1:])"
    )
    words = [sys.executable, "-c", program, "lab", "up", "--dir", str(open_to_all)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "or use root" in done.stderr or ": use root" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
