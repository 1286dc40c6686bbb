"""`linkerd install`: its flags and values, and what it says of those that change nothing."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from isthmus.cli.install import install
from isthmus.cli.uninstall import NO_CERTIFICATES
from isthmus.install import chart, crds
from isthmus.install.controlplane import manifests
from isthmus.install.values import InstallValues


def run(*words: str) -> Result:
    return CliRunner().invoke(install, ["--ignore-cluster", *words])


def values(*words: str) -> Any:
    """The values that an installation with these flags has."""
    result = run("-o", "helm", *words)
    assert result.exit_code == 0, result.output
    return yaml.load(result.stdout, Loader=yaml.CSafeLoader)


def test_the_definitions_alone_are_those_of_the_whole() -> None:
    result = CliRunner().invoke(install, ["--crds"])
    assert result.exit_code == 0, result.output
    printed = list(yaml.load_all(result.stdout, Loader=yaml.CSafeLoader))
    assert printed == crds.control_plane()
    whole = manifests(InstallValues(certificates=NO_CERTIFICATES))
    assert printed == [item for item in whole if item["kind"] == "CustomResourceDefinition"]


@pytest.mark.parametrize(
    ("flags", "path", "expected"),
    [
        (("--registry", "registry.example/mesh"), "registry", "registry.example/mesh"),
        (("--controller-replicas", "2"), "controllerReplicas", 2),
        (("--controller-log-level", "debug"), "controllerLogLevel", "debug"),
        (("--proxy-log-level", "info"), "proxy.logLevel", "info"),
        (("--proxy-cpu-request", "50m"), "proxy.resources.cpu.request", "50m"),
        (("--proxy-memory-limit", "1Gi"), "proxy.resources.memory.limit", "1Gi"),
        (("--skip-inbound-ports", "1-5"), "proxyInit.ignoreInboundPorts", "1-5"),
        (("--skip-outbound-ports", "25"), "proxyInit.ignoreOutboundPorts", "25"),
        (("--identity-issuance-lifetime", "1h"), "identity.issuer.issuanceLifetime", "1h"),
        (("--identity-trust-domain", "west.example"), "identityTrustDomain", "west.example"),
        (("--set", "identityTrustDomain=west.example"), "identityTrustDomain", "west.example"),
        (("--ha",), "controllerReplicas", 3),
        (("--ha", "--controller-replicas", "5"), "controllerReplicas", 5),
        (("--ha", "--set", "controllerReplicas=7"), "controllerReplicas", 7),
        (("--set-string", "priorityClassName=1"), "priorityClassName", "1"),
    ],
)
def test_a_flag_sets_its_value(flags: tuple[str, ...], path: str, expected: object) -> None:
    found = values(*flags)
    for part in path.split("."):
        found = found[part]
    assert found == expected


def test_values_come_from_files_and_what_is_set_by_hand_is_over_them(tmp_path: Path) -> None:
    first, second, level = tmp_path / "first.yaml", tmp_path / "second.yaml", tmp_path / "level"
    first.write_text("controllerReplicas: 2\nregistry: first.example\n")
    second.write_text("registry: second.example\nproxy: {logLevel: error}\n")
    level.write_text("debug")
    made = values("-f", str(first), "-f", str(second), "--set-file", f"proxy.logLevel={level}")
    assert (made["controllerReplicas"], made["registry"], made["proxy"]["logLevel"]) == (2, "second.example", "debug")


def test_the_values_of_a_chart_install_the_same_again(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    printed = run("-o", "helm", "--ha").stdout
    public = {key: item for key, item in yaml.safe_load(printed).items() if key not in ("identity", "proxyInjector")}
    del public["identityTrustAnchorsPEM"]
    file.write_text(yaml.safe_dump(public))
    assert values("-f", str(file))["controllerReplicas"] == 3
    assert "PRIVATE KEY" in printed, "the chart needs the keys"
    assert set(yaml.safe_load(chart.control_plane()["values.yaml"])) == {*yaml.safe_load(printed), "installNamespace"}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--set", "proxy.loglevel=info"), 'There is no value "proxy.loglevel"; the nearest is "proxy.logLevel".'),
        (("--set", "policyController.logLevel=info"), 'There is no value "policyController"'),
        (("--set", "registry"), "'registry' assigns nothing"),
        (("-f", "/nowhere/values.yaml"), "/nowhere/values.yaml cannot be read: No such file"),
        (("--set-file", "proxy.logLevel=/nowhere/level"), "/nowhere/level cannot be read"),
        (("--default-inbound-policy", "deny"), "There are no inbound policies"),
        (("--linkerd-cni-enabled",), "There is no CNI plugin"),
        (("--identity-external-issuer",), "replace Secret linkerd/linkerd-identity-issuer"),
        (("--enable-endpoint-slices=false",), "EndpointSlices only"),
        (("--identity-issuance-lifetime", "a day"), "it must be a duration"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence_and_nothing_is_printed(
    flags: tuple[str, ...], sentence: str
) -> None:
    result = run(*flags)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert not result.stdout


@pytest.mark.parametrize("flag", ["--disable-heartbeat", "--enable-endpoint-slices"])
def test_a_flag_that_changes_nothing_is_said_to(flag: str) -> None:
    result = run("--crds", flag)
    assert result.exit_code == 0
    assert f"{flag} has no effect" in result.stderr


def test_the_policy_that_is_in_force_may_be_named() -> None:
    assert run("--crds", "--default-inbound-policy", "all-unauthenticated").stderr == ""
