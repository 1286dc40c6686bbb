"""Grafana dashboards: one for the mesh, one for what crosses clusters. Labelled as Grafana's sidecar looks for them."""

import json
from collections.abc import Callable
from typing import Any, Final

from isthmus.install.template import Verbatim

Manifest = dict[str, Any]
LABEL: Final = {"grafana_dashboard": "1"}
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
WINDOW: Final = "[$__rate_interval]"
OUTBOUND: Final = 'direction="outbound"'
INBOUND: Final = 'direction="inbound"'
CROSSING: Final = f'{OUTBOUND},dst_target_cluster!=""'


def config_maps(namespace: str, metadata: Callable[..., Manifest]) -> list[Manifest]:
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(f"dashboard-{name}", namespace, labels=LABEL),
            "data": {f"isthmus-{name}.json": Verbatim(json.dumps(made, indent=1) + "\n")},
        }
        for name, made in (("mesh", mesh()), ("multicluster", multicluster()))
    ]


def mesh() -> Manifest:
    """Every deployment, as its own proxies see what it is asked."""
    return _dashboard("isthmus-mesh", "Isthmus: workloads", _three(INBOUND, "namespace, deployment"))


def multicluster() -> Manifest:
    """What crosses clusters, by cluster and by service; and the gateways."""
    by_service = "dst_target_cluster, dst_target_service_namespace, dst_target_service"
    gateways = [
        _panel("Gateways that answer", "max by (target_cluster_name) (gateway_alive)", "none"),
        _panel("Latency of gateway probes", "max by (target_cluster_name) (gateway_latency)", "ms"),
        _panel("Open tunnels by client cluster", "sum by (src_cluster) (gateway_tunnels)", "none"),
    ]
    panels = [*_three(CROSSING, "dst_target_cluster"), *_three(CROSSING, by_service), *gateways]
    return _dashboard("isthmus-multicluster", "Isthmus: across clusters", panels)


def _three(selection: str, by: str) -> list[Manifest]:
    """Success, rate and latency of a selection."""
    answered = f"sum by ({by}) (rate(response_total{{{selection}}}{WINDOW}))"
    succeeded = f'sum by ({by}) (rate(response_total{{{selection},classification="success"}}{WINDOW}))'
    timed = f"sum by (le, {by}) (rate(response_latency_ms_bucket{{{selection}}}{WINDOW}))"
    return [
        _panel(f"Success by {by}", f"{succeeded} / {answered}", "percentunit"),
        _panel(f"Requests by {by}", answered, "reqps"),
        _panel(f"Latency p95 by {by}", f"histogram_quantile(0.95, {timed})", "ms"),
    ]


def _panel(title: str, expression: str, unit: str) -> Manifest:
    return {
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "datasource": SOURCE, "expr": expression}],
    }


def _dashboard(uid: str, title: str, panels: list[Manifest]) -> Manifest:
    placed = [
        {**panel, "id": number + 1, "gridPos": {"w": 8, "h": 8, "x": number % 3 * 8, "y": number // 3 * 8}}
        for number, panel in enumerate(panels)
    ]
    variable = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    return {
        "uid": uid,
        "title": title,
        "tags": ["isthmus"],
        "schemaVersion": 38,
        "refresh": "10s",
        "time": {"from": "now-15m", "to": "now"},
        "templating": {"list": [variable]},
        "panels": placed,
    }
