"""What `linkerd viz install` prints."""

import json
import re
from typing import Any

import yaml

from isthmus import names
from isthmus.install import viz_prometheus
from isthmus.install.viz import VizValues, manifests
from isthmus.viz import api, series, targets

LANGUAGE = {"and", "histogram_quantile", "max", "rate", "sum", "time"}


def printed(**values: Any) -> dict[tuple[str, str], Any]:
    return {(item["kind"], item["metadata"]["name"]): item for item in manifests(VizValues(**values))}


def arguments(**values: Any) -> list[str]:
    pod = printed(**values)["Deployment", "metrics-api"]["spec"]["template"]["spec"]
    return list(pod["containers"][0]["args"])


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
    asked = re.findall(r"http://metrics-api\.linkerd-viz:8085(/api/v1/targets/)(\S+)", config["prometheus.yml"])
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


def test_pods_are_injected_but_scrape_past_their_proxies() -> None:
    for name in ("metrics-api", "prometheus"):
        template = printed()["Deployment", name]["spec"]["template"]
        annotations = template["metadata"]["annotations"]
        assert annotations[names.INJECT_ANNOTATION] == "enabled"
        assert str(names.ADMIN_PORT) in annotations[names.SKIP_OUTBOUND_PORTS_ANNOTATION].split(",")
        assert template["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
