"""What dashboards made for Linkerd ask the controller for."""

from prometheus_client import CollectorRegistry, generate_latest

from isthmus.multicluster.metrics import Metrics


def test_a_gateways_metrics_have_linkerds_names_and_end_with_the_link() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.gateway("east", enabled=True)
    metrics.alive("east", alive=True, latency_ms=3.5)
    metrics.probed("east", successful=True, latency_ms=3.5)
    metrics.probed("east", successful=False, latency_ms=3.5)
    said = generate_latest(registry).decode()
    for line in (
        'gateway_enabled{target_cluster_name="east"} 1.0',
        'gateway_alive{target_cluster_name="east"} 1.0',
        'gateway_latency{target_cluster_name="east"} 3.5',
        'gateway_probes{probe_successful="true",target_cluster_name="east"} 1.0',
        'gateway_probes{probe_successful="false",target_cluster_name="east"} 1.0',
        'gateway_probe_latency_ms_bucket{le="3.0",target_cluster_name="east"} 0.0',
        'gateway_probe_latency_ms_bucket{le="4.0",target_cluster_name="east"} 1.0',
        'gateway_probe_latency_ms_count{target_cluster_name="east"} 1.0',
    ):
        assert line in said.splitlines()
    metrics.forget("east")
    assert "east" not in generate_latest(registry).decode()
