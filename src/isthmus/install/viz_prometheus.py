"""Prometheus for the mesh: what it scrapes and under which labels, its rules, its pod."""

from collections.abc import Callable
from typing import Any, Final

import yaml

from isthmus import names
from isthmus.install.template import Verbatim, emit

Manifest = dict[str, Any]
PORT: Final = 9090
UID: Final = 65534
API_PORT: Final = 8085
"""Of the metrics API."""
PROXY_JOB: Final = "linkerd-proxy"
CONTROLLER_JOB: Final = "linkerd-controller"
MULTICLUSTER_JOB: Final = "linkerd-multicluster-controller"
CONFIG_MAP: Final = "prometheus-config"
OWNER_LABEL: Final = "__meta_kubernetes_pod_label_linkerd_io_proxy_"
OWNERS: Final = (
    "cronjob",
    "daemonset",
    "deployment",
    "job",
    "replicaset",
    "replicationcontroller",
    "statefulset",
)
CROSS_CLUSTER: Final = 'direction="outbound",dst_cluster!=""'


def configuration(namespace: str, metadata: Callable[..., Manifest], *, interval: str) -> Manifest:
    """What the Prometheus that is installed reads, and what one that is there already may be given."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(CONFIG_MAP, namespace),
        "data": {
            "prometheus.yml": emit(settings(namespace, interval)),
            "recording.rules.yml": _text({"groups": [{"name": "isthmus", "rules": recordings()}]}),
            "alerts.rules.yml": _text({"groups": [{"name": "isthmus-alerts", "rules": alerts()}]}),
            "scrape-configs.yml": _text(own_discovery(namespace)),
        },
    }


def _text(value: Manifest | list[Manifest]) -> Verbatim:
    return Verbatim(yaml.safe_dump(value, sort_keys=False, width=120))


# --- what is scraped ----------------------------------------------------------------------------------------------
def settings(namespace: str, interval: str) -> Manifest:
    """Linkerd's jobs: every series of a proxy says whose it is. The metrics API tells the targets and their labels."""

    def found(job: str) -> Manifest:
        url = f"http://{names.VIZ_METRICS_API}.{namespace}:{API_PORT}/api/v1/targets/{job}"
        return _job(job, {"http_sd_configs": [{"url": url, "refresh_interval": interval}]})

    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": ["/etc/prometheus/*.rules.yml"],
        "scrape_configs": [
            {"job_name": "prometheus", "static_configs": [{"targets": [f"localhost:{PORT}"]}]},
            *(found(job) for job in (CONTROLLER_JOB, MULTICLUSTER_JOB)),
            found(PROXY_JOB) | {"metric_relabel_configs": entire_latencies()},
        ],
    }


def entire_latencies() -> list[Manifest]:
    """Proxies leave out of latencies what other labels say (`envoy.labels.brief`); queries ask for all of them."""
    called = r"([^.;]+)\.([^.;]+)\.svc\..+"
    return [
        _completed("dst_target_cluster", "", "$1", cluster="(.+)"),
        _completed("dst_service", "authority", "$1", said=called),
        _completed("dst_namespace", "authority", "$2", said=called),
        _completed("tls", "dst_target_service", "true", said=".+"),
    ]


def _completed(label: str, by: str, value: str, *, said: str = "", cluster: str = ".+") -> Manifest:
    """Give a latency of another cluster this label, where it has none."""
    return {
        "source_labels": ["__name__", "dst_cluster", label, *([by] if by else [])],
        "regex": f"response_latency_ms_.+;{cluster};{f';{said}' if by else ''}",
        "target_label": label,
        "replacement": value,
    }


def _job(name: str, discovery: Manifest) -> Manifest:
    """The bounds are for what a pod shows, which is not ours to trust."""
    return {"job_name": name, "sample_limit": 100_000, "label_value_length_limit": 512, **discovery}


def own_discovery(namespace: str) -> list[Manifest]:
    """The same jobs for a Prometheus that may look for pods itself: the `scrape_configs` to add to its own."""
    return [
        _controllers(CONTROLLER_JOB, [names.CONTROL_PLANE_NAMESPACE, namespace]),
        _controllers(MULTICLUSTER_JOB, [names.MULTICLUSTER_NAMESPACE]),
        _proxies() | {"metric_relabel_configs": entire_latencies()},
    ]


def _pods(job: str, relabelings: list[Manifest], *, namespaces: list[str] | None = None) -> Manifest:
    discovery: Manifest = {"role": "pod"}
    if namespaces:
        discovery["namespaces"] = {"names": namespaces}
    return _job(job, {"kubernetes_sd_configs": [discovery], "relabel_configs": relabelings})


def _controllers(job: str, namespaces: list[str]) -> Manifest:
    return _pods(
        job,
        [
            _keep(["__meta_kubernetes_pod_container_port_name"], "admin-http"),
            _copy("__meta_kubernetes_pod_container_name", "component"),
            _copy("__meta_kubernetes_namespace", "namespace"),
            _copy("__meta_kubernetes_pod_name", "pod"),
        ],
        namespaces=namespaces,
    )


def _proxies() -> Manifest:
    wanted = [
        "__meta_kubernetes_pod_container_name",
        "__meta_kubernetes_pod_container_port_name",
        "__meta_kubernetes_pod_label_linkerd_io_control_plane_ns",
    ]
    return _pods(
        PROXY_JOB,
        [
            _keep(wanted, f"{names.PROXY_CONTAINER};linkerd-admin;{names.CONTROL_PLANE_NAMESPACE}"),
            {"source_labels": ["__meta_kubernetes_pod_phase"], "action": "drop", "regex": "Succeeded|Failed"},
            _copy("__meta_kubernetes_namespace", "namespace"),
            _copy("__meta_kubernetes_pod_name", "pod"),
            # `job` is Prometheus' own label.
            *(_copy(f"{OWNER_LABEL}{owner}", "k8s_job" if owner == "job" else owner) for owner in OWNERS),
            _copy("__meta_kubernetes_pod_label_linkerd_io_control_plane_ns", "control_plane_ns"),
        ],
    )


def _keep(sources: list[str], regex: str) -> Manifest:
    return {"source_labels": sources, "action": "keep", "regex": regex}


def _copy(source: str, target: str) -> Manifest:
    return {"source_labels": [source], "action": "replace", "target_label": target}


# --- rules --------------------------------------------------------------------------------------------------------
def recordings() -> list[Manifest]:
    """What dashboards ask for again and again: traffic across clusters."""
    by = "dst_cluster, namespace, deployment"
    return [
        {
            "record": "isthmus:cross_cluster_requests:rate1m",
            "expr": f"sum by ({by}) (rate(request_total{{{CROSS_CLUSTER}}}[1m]))",
        },
        {
            "record": "isthmus:cross_cluster_success:ratio1m",
            "expr": (
                f'sum by ({by}) (rate(response_total{{{CROSS_CLUSTER},classification="success"}}[1m]))'
                f" / sum by ({by}) (rate(response_total{{{CROSS_CLUSTER}}}[1m]))"
            ),
        },
        {
            "record": "isthmus:cross_cluster_latency_ms:p95",
            "expr": (
                "histogram_quantile(0.95, sum by (dst_cluster, le) "
                f"(rate(response_latency_ms_bucket{{{CROSS_CLUSTER}}}[1m])))"
            ),
        },
    ]


def alerts() -> list[Manifest]:
    """What somebody should get up for, each with what to do next."""
    return [
        _alert(
            "LinkedClusterGatewayDown",
            "max by (target_cluster_name) (gateway_alive) == 0",
            "1m",
            "critical",
            "The gateway of {{ $labels.target_cluster_name }} does not answer: run `linkerd multicluster check`.",
        ),
        _alert(
            "CrossClusterSuccessLow",
            "isthmus:cross_cluster_success:ratio1m < 0.99 and isthmus:cross_cluster_requests:rate1m > 0.1",
            "5m",
            "warning",
            "{{ $labels.namespace }}/{{ $labels.deployment }} fails in {{ $labels.dst_cluster }}: "
            "run `linkerd viz stat-outbound deploy/{{ $labels.deployment }} -n {{ $labels.namespace }}`.",
        ),
        _alert(
            "ProxyCertificateExpires",
            "identity_cert_expiration_timestamp_seconds - time() < 3600",
            "5m",
            "critical",
            "The certificate of {{ $labels.namespace }}/{{ $labels.pod }} is not renewed: run `linkerd check --proxy`.",
        ),
        _alert(
            "ProxyNotScraped",
            'up{job="linkerd-proxy"} == 0',
            "5m",
            "warning",
            "The proxy of {{ $labels.namespace }}/{{ $labels.pod }} shows no metrics: look at its container's log.",
        ),
    ]


def _alert(name: str, expression: str, lasting: str, severity: str, summary: str) -> Manifest:
    return {
        "alert": name,
        "expr": expression,
        "for": lasting,
        "labels": {"severity": severity},
        "annotations": {"summary": summary},
    }


# --- the pod ------------------------------------------------------------------------------------------------------
def pod(*, image: str, retention: str, hardened: Callable[[int], Manifest]) -> Manifest:
    """Prometheus' own image and flags; what it keeps is gone with the pod."""
    container = {
        "name": names.VIZ_PROMETHEUS,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/data",
            f"--storage.tsdb.retention.time={retention}",
            f"--web.listen-address=0.0.0.0:{PORT}",
            "--log.level=warn",
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "livenessProbe": {
            "httpGet": {"path": "/-/healthy", "port": PORT},
            "initialDelaySeconds": 30,
            "timeoutSeconds": 30,
        },
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": PORT}, "periodSeconds": 2, "timeoutSeconds": 5},
        "resources": {"requests": {"cpu": "100m", "memory": "300Mi"}},
        "securityContext": hardened(UID),
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": CONFIG_MAP, "mountPath": "/etc/prometheus", "readOnly": True},
        ],
    }
    return {
        "containers": [container],
        "securityContext": {"fsGroup": UID, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": CONFIG_MAP, "configMap": {"name": CONFIG_MAP}}],
    }
