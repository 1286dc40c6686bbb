"""What `linkerd viz install` prints."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus import names
from isthmus.envoy import labels
from isthmus.install import viz_prometheus
from isthmus.install.render import render
from isthmus.install.viz import manifests
from isthmus.install.viz_values import VizValues
from isthmus.lab.images import find_program
from isthmus.viz import api, series, targets

LANGUAGE = {"and", "histogram_quantile", "max", "rate", "sum", "time"}


def printed(**values: Any) -> dict[tuple[str, str], Any]:
    return {(item["kind"], item["metadata"]["name"]): item for item in manifests(VizValues(**values))}


def arguments(**values: Any) -> list[str]:
    pod = printed(**values)["Deployment", "metrics-api"]["spec"]["template"]["spec"]
    return list(pod["containers"][0]["args"])


def test_what_is_printed_reads_back_as_the_same_objects() -> None:
    made = manifests(VizValues(cluster_name="west"))
    assert list(yaml.load_all(render(made), Loader=yaml.CSafeLoader)) == made


def test_without_prometheus_nothing_asks_for_one() -> None:
    objects = printed(prometheus_enabled=False)
    assert ("Deployment", "prometheus") not in objects
    assert not [word for word in arguments(prometheus_enabled=False) if "prometheus" in word]


def test_a_prometheus_that_is_there_is_used_and_none_installed() -> None:
    url = "http://prometheus.monitoring:9090"
    assert ("Deployment", "prometheus") not in printed(prometheus_url=url)
    assert f"--prometheus-url={url}" in arguments(prometheus_url=url)


def test_both_sides_agree_on_port_and_jobs() -> None:
    assert viz_prometheus.API_PORT == api.PORT
    ours = {viz_prometheus.PROXY_JOB, viz_prometheus.CONTROLLER_JOB, viz_prometheus.MULTICLUSTER_JOB}
    assert ours == {targets.PROXIES, *targets.CONTROLLERS}
    config = printed()["ConfigMap", "prometheus-config"]["data"]
    asked = re.findall(r"http://metrics-api\.linkerd-viz:8085(/api/v1/targets/)([a-z-]+)", config["prometheus.yml"])
    assert {job for _, job in asked} == ours
    assert {path for path, _ in asked} == {api.TARGETS_PATH}


def test_a_prometheus_of_ones_own_gets_the_same_labels_by_relabelling() -> None:
    config = printed()["ConfigMap", "prometheus-config"]["data"]
    (proxies,) = [job for job in yaml.safe_load(config["scrape-configs.yml"]) if job["job_name"] == targets.PROXIES]
    made = {each["target_label"] for each in proxies["relabel_configs"] if each["action"] == "replace"}
    assert {"namespace", "pod", "deployment", "statefulset", "k8s_job", "control_plane_ns"} <= made


def test_rules_and_dashboards_ask_for_metrics_that_there_are() -> None:
    objects = printed()
    config = objects["ConfigMap", "prometheus-config"]["data"]
    asked = [
        rule["expr"]
        for name in config
        if "rules" in name
        for rule in yaml.safe_load(config[name])["groups"][0]["rules"]
    ]
    for kind, name in objects:
        if kind == "ConfigMap" and name.startswith("dashboard-"):
            (text,) = objects[kind, name]["data"].values()
            asked += [target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]]
    known = series.COUNTERS | series.GAUGES | {"up", "identity_cert_expiration_timestamp_seconds"}
    known |= {"gateway_alive", "gateway_latency"} | {rule["record"] for rule in viz_prometheus.recordings()}
    assert len(asked) > 10
    for expression in asked:
        bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|by \([^)]*\)", " ", expression)
        assert set(re.findall(r"[a-z_:][a-z0-9_:]*", bare)) - LANGUAGE <= known, expression


def promtool(*words: str) -> None:
    program = find_program("promtool")
    if program is None:
        pytest.skip("there is no promtool: `make setup` fetches Debian's where there is apt")
    done = subprocess.run([program, "check", *words], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.process
def test_prometheus_itself_accepts_the_rules(tmp_path: Path) -> None:
    config = printed()["ConfigMap", "prometheus-config"]["data"]
    rules = [tmp_path / name for name in config if name.endswith(".rules.yml")]
    for path in rules:
        path.write_text(config[path.name])
    promtool("rules", "--lint=all", "--lint-fatal", *map(str, rules))


@pytest.mark.process
def test_prometheus_itself_accepts_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yml"
    path.write_text(printed()["ConfigMap", "prometheus-config"]["data"]["prometheus.yml"])
    promtool("config", "--syntax-only", str(path))


def relabelled(rules: list[dict[str, Any]], series: dict[str, str]) -> dict[str, str]:
    """As Prometheus does it: a rule sees what those before it did."""
    for rule in rules:
        text = ";".join(series.get(label, "") for label in rule["source_labels"])
        if found := re.fullmatch(rule["regex"], text):
            series = series | {rule["target_label"]: found.expand(rule["replacement"].replace("$", "\\"))}
    return series


@pytest.mark.parametrize("backend", ["web", "web-east"])
@pytest.mark.parametrize("tls", [{"tls": "true"}, {"tls": "no_identity", "no_tls_reason": "of_its_own"}])
def test_latencies_have_all_their_labels_again_in_prometheus(backend: str, tls: dict[str, str]) -> None:
    counted = {
        "authority": "web.shop.svc.cluster.local:80",
        "dst_namespace": "shop",
        "dst_service": backend,
        "dst_cluster": "east",
        "dst_target_cluster": "east",
        **tls,
        "dst_target_service": "web",
    }
    latency, other = {"__name__": "response_latency_ms_bucket"}, {"__name__": "tcp_open_total"}
    installed = viz_prometheus.settings("linkerd-viz", "10s")["scrape_configs"]
    for jobs in (installed, viz_prometheus.own_discovery("linkerd-viz")):
        (rules,) = [each["metric_relabel_configs"] for each in jobs if each["job_name"] == targets.PROXIES]
        assert relabelled(rules, latency | labels.brief(counted)) == latency | counted
        assert relabelled(rules, other | labels.brief(counted)) == other | labels.brief(counted)


def test_pods_are_injected_but_scrape_past_their_proxies() -> None:
    for name in ("metrics-api", "prometheus"):
        template = printed()["Deployment", name]["spec"]["template"]
        annotations = template["metadata"]["annotations"]
        assert annotations[names.INJECT_ANNOTATION] == "enabled"
        assert str(names.ADMIN_PORT) in annotations[names.SKIP_OUTBOUND_PORTS_ANNOTATION].split(",")
        assert template["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
