"""The charts are what the commands print: the same objects for the same values."""

from typing import Any

import pytest
import yaml
from tests.install import template

from isthmus.install import (
    certificates,
    chart,
    controlplane,
    crds,
    multicluster,
    multicluster_values,
    schema,
    values,
    viz,
)
from isthmus.install.multicluster_values import MulticlusterValues
from isthmus.install.schema import Tree
from isthmus.install.template import emit
from isthmus.install.values import InstallValues
from isthmus.install.viz_values import VizValues

EXTRAS = {"installNamespace": True, "installCRDs": True}
DEFINITION = 'kind: "CustomResourceDefinition"'
MATERIAL = certificates.fresh(cluster_domain="cluster.local")
EVERYTHING: Tree = {
    "clusterDomain": "east.example",
    "registry": "registry.example:5000/mesh",
    "priorityClassName": "system-cluster-critical",
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "mesh", "operator": "Exists"}],
    "podLabels": {"team": 'the "mesh" team', "linkerd.io/control-plane-component": "somebody else"},
    "podAnnotations": {"note": "100%"},
    "proxy": {"resources": {"memory": {"limit": "250Mi"}}},
    "tracing": {"collector": "otel.observability:4317", "clusterName": "east"},
    "identityResources": {"memory": {"request": "20Mi"}},
}
VIZ: list[Tree] = [
    {"prometheus": {"enabled": False}, "dashboards": {"enabled": False}},
    {"prometheusUrl": "http://prometheus.monitoring:9090", "clusterName": "west", "multicluster": {"enabled": False}},
    {"dashboard": {"enabled": False, "shared": False}, "prometheus": {"scrapeInterval": "30s", "retention": "2d"}},
    {"registry": "registry.example:5000/mesh", "prometheus": {"image": "registry.example/prometheus@sha256:0"}},
]
EXTENDED: Tree = {
    "identityTrustDomain": "east.example",
    "gateway": {
        "serviceType": "NodePort",
        "nodePort": 30443,
        "serviceAnnotations": {"balancer": "internal"},
        "loadBalancerSourceRanges": ["203.0.113.0/24"],
    },
}


def of(text: str, given: Tree) -> list[Any]:
    """The objects that a chart's template makes, but for definitions, which no value changes."""
    documents = [part for part in template.rendered(text, given).split("---\n") if DEFINITION not in part]
    return [_read(item) for part in documents if (item := yaml.load(part, Loader=yaml.CSafeLoader))]


def other(objects: list[Any]) -> list[Any]:
    return [_read(item) for item in objects if item["kind"] != "CustomResourceDefinition"]


def _read(item: Any) -> Any:
    if item["kind"] == "ConfigMap" and "values" in item.get("data", ()):
        return {**item, "data": {"values": yaml.safe_load(item["data"]["values"])}}
    return item


@pytest.mark.parametrize("given", [{}, values.HIGH_AVAILABILITY, EVERYTHING], ids=["defaults", "ha", "everything"])
def test_the_chart_of_the_control_plane_is_what_install_prints(given: Tree) -> None:
    full = schema.merge(InstallValues, schema.tree(InstallValues), given)
    made = schema.from_tree(InstallValues, full, certificates=MATERIAL)
    files = chart.control_plane()
    shown = yaml.safe_load(files["values.yaml"]) | chart.given_values(made) | {"installNamespace": True}
    assert of(files["templates/control-plane.yaml"], shown) == other(controlplane.manifests(made))


@pytest.mark.parametrize(
    "given",
    [{}, multicluster_values.HIGH_AVAILABILITY, EXTENDED, {"gateway": {"enabled": False}}],
    ids=["defaults", "ha", "extended", "no gateway"],
)
def test_the_chart_of_the_extension_is_what_multicluster_install_prints(given: Tree) -> None:
    full = schema.merge(MulticlusterValues, schema.tree(MulticlusterValues), given)
    made = schema.from_tree(MulticlusterValues, full)
    text = chart.multicluster_extension()["templates/multicluster.yaml"]
    assert of(text, full | EXTRAS) == other(multicluster.manifests(made))


@pytest.mark.parametrize("given", [{}, *(each for each in VIZ)], ids=str)
def test_the_chart_of_viz_is_what_viz_install_prints(given: Tree) -> None:
    full = schema.merge(VizValues, schema.tree(VizValues), given)
    text = chart.viz_extension()["templates/viz.yaml"]
    assert of(text, full | EXTRAS) == viz.manifests(schema.from_tree(VizValues, full))


def test_an_alerts_own_braces_are_left_to_prometheus() -> None:
    text = template.rendered(chart.viz_extension()["templates/viz.yaml"], schema.tree(VizValues) | EXTRAS)
    assert "fails in {{ $labels.dst_cluster }}" in text


def test_the_charts_hold_the_definitions_as_they_are() -> None:
    for files, definitions in (
        (chart.control_plane(), crds.control_plane()),
        (chart.multicluster_extension(), crds.multicluster()),
    ):
        (text,) = (content for path, content in files.items() if path.startswith("templates/"))
        assert text.count(DEFINITION) == len(definitions)
        assert all(emit(definition) in text for definition in definitions)


def test_both_charts_can_be_installed_for_only_one_has_the_definitions() -> None:
    files = chart.multicluster_extension()
    defaults = yaml.safe_load(files["values.yaml"])
    assert DEFINITION not in template.rendered(files["templates/multicluster.yaml"], defaults)


def test_helm_makes_no_namespace_unless_it_is_asked_to() -> None:
    for files in chart.charts().values():
        defaults = yaml.safe_load(files["values.yaml"])
        assert defaults["installNamespace"] is False
        (text,) = (content for path, content in files.items() if path.startswith("templates/"))
        assert '{{- if .Values.installNamespace }}\n---\napiVersion: "v1"\nkind: "Namespace"' in text


def test_a_chart_without_certificates_says_which_value_is_missing() -> None:
    files = chart.control_plane()
    with pytest.raises(template.Missing, match="identityTrustDomain must be given; linkerd install -o helm prints"):
        template.rendered(files["templates/control-plane.yaml"], yaml.safe_load(files["values.yaml"]))


def test_a_charts_defaults_are_those_of_the_command_and_hold_no_key() -> None:
    defaults = yaml.safe_load(chart.control_plane()["values.yaml"])
    assert schema.merge(InstallValues, schema.tree(InstallValues), _without_certificates(defaults)) == schema.tree(
        InstallValues
    )
    assert defaults["identity"]["issuer"]["tls"] == {"crtPEM": "", "keyPEM": ""}


def _without_certificates(tree: Tree) -> Tree:
    made = {key: content for key, content in tree.items() if not key.startswith(("identityTrust", "install"))}
    made.pop("proxyInjector")
    issuer = {key: content for key, content in made["identity"]["issuer"].items() if key != "tls"}
    return made | {"identity": {"issuer": issuer}}
