"""What `linkerd viz install` prints: the metrics API, Prometheus, and what both need to read proxies."""

from dataclasses import dataclass
from typing import Any, Final

from isthmus import names
from isthmus.install import rbac, viz_grafana, viz_prometheus, viz_web

Manifest = dict[str, Any]

UID: Final = 2103
EXTENSION: Final = {names.EXTENSION_LABEL: "viz"}
UNMOUNTED: Final = {names.VIZ_PROMETHEUS: {"automountServiceAccountToken": False}}
"""Who never talks to the API server has no token for it."""
UNPROXIED_PORTS: Final = "443,6443,4191,9990"
"""API servers, and what is scraped: numbers must be readable where the data plane is broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VizValues:
    """What `linkerd viz install` was asked for."""

    registry: str = names.DEFAULT_REGISTRY
    version: str = names.VERSION
    image_pull_policy: str = "IfNotPresent"
    namespace: str = names.VIZ_NAMESPACE
    log_level: str = "info"
    prometheus_url: str = ""
    """One that is there already; none is installed then."""
    prometheus_enabled: bool = True
    prometheus_image: str = "docker.io/prom/prometheus:v2.55.1"
    prometheus_retention: str = "6h"
    prometheus_scrape_interval: str = "10s"
    dashboards: bool = True
    page: bool = True
    """Whether `linkerd viz dashboard` has something to show."""
    shared: bool = True
    """Whether clusters that link here may show this one's numbers on their page."""
    cluster_name: str = ""
    multicluster: bool = True
    """Whether the multi-cluster extension's namespace is there, with the credentials of Links in it."""

    @property
    def installs_prometheus(self) -> bool:
        return self.prometheus_enabled and not self.prometheus_url

    @property
    def prometheus(self) -> str:
        """Where Prometheus answers, "" where there is none."""
        own = f"http://{names.VIZ_PROMETHEUS}.{self.namespace}:{viz_prometheus.PORT}"
        return self.prometheus_url or (own if self.installs_prometheus else "")


def manifests(values: VizValues) -> list[Manifest]:
    """Every object, in the order in which it can be applied; all carry the extension's label, to be found again."""
    made = [
        _namespace(values),
        *_api_access(values),
        _api_service(values),
        _api(values),
        *(viz_web.shared_access(values.namespace) if values.shared else ()),
        *(_web(values) if values.page else ()),
        viz_prometheus.configuration(values.namespace, metadata, interval=values.prometheus_scrape_interval),
        *(_prometheus(values) if values.installs_prometheus else ()),
        *(viz_grafana.config_maps(values.namespace, metadata) if values.dashboards else ()),
    ]
    return [item | {"metadata": item["metadata"] | {"labels": item["metadata"]["labels"] | EXTENSION}} for item in made]


def metadata(name: str, namespace: str = "", **extra: dict[str, str]) -> dict[str, Any]:
    labels = EXTENSION | extra.pop("labels", {})
    where = {"namespace": namespace} if namespace else {}
    return {"name": name, **where, "labels": labels, **extra}


def _namespace(values: VizValues) -> Manifest:
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(values.namespace, labels=labels)}


def account(name: str, namespace: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name, namespace)}


# --- metrics API --------------------------------------------------------------------------------------------------
def _api_access(values: VizValues) -> list[Manifest]:
    return [
        account(names.VIZ_METRICS_API, values.namespace),
        *rbac.cluster_role(
            f"linkerd-{values.namespace}-{names.VIZ_METRICS_API}",
            names.VIZ_METRICS_API,
            namespace=values.namespace,
            rules=[
                rbac.rule([""], ["pods"], rbac.FOLLOW),
                rbac.rule(["batch"], ["jobs"], rbac.FOLLOW),
                rbac.rule([names.SPLIT_GROUP], ["trafficsplits"], rbac.FOLLOW),
                rbac.rule([""], ["services"], rbac.FOLLOW),
                rbac.rule([names.LINK_GROUP], ["links"], rbac.FOLLOW),
            ],
        ),
        *viz_web.trust_access(values.namespace),
    ]


def _api(values: VizValues) -> Manifest:
    admin = names.CONTROLLER_ADMIN_PORT
    container = {
        "name": names.VIZ_METRICS_API,
        "image": f"{values.registry}/{names.CONTROLLER_IMAGE}:{values.version}",
        "imagePullPolicy": values.image_pull_policy,
        "args": [
            "viz-metrics-api",
            f"--log-level={values.log_level}",
            *([f"--cluster-name={values.cluster_name}"] if values.cluster_name else []),
            *([f"--prometheus-url={values.prometheus}"] if values.prometheus else []),
        ],
        "ports": [
            {"name": "http", "containerPort": viz_prometheus.API_PORT},
            {"name": "admin-http", "containerPort": admin},
        ],
        "livenessProbe": {"httpGet": {"path": "/live", "port": admin}, "initialDelaySeconds": 10},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": admin}, "periodSeconds": 1, "failureThreshold": 7},
        "resources": {"requests": {"cpu": "50m", "memory": "80Mi"}, "limits": {"memory": "500Mi"}},
        "securityContext": hardened(UID),
    }
    return workload(names.VIZ_METRICS_API, values.namespace, {"containers": [container]})


def _api_service(values: VizValues) -> Manifest:
    return service(names.VIZ_METRICS_API, values.namespace, viz_prometheus.API_PORT)


def _web(values: VizValues) -> list[Manifest]:
    name = names.VIZ_WEB
    container = viz_web.container(
        image=f"{values.registry}/{names.CONTROLLER_IMAGE}:{values.version}",
        policy=values.image_pull_policy,
        namespace=values.namespace,
        log_level=values.log_level,
    ) | {"securityContext": hardened(UID)}
    return [
        account(name, values.namespace),
        *(viz_web.credentials_access(values.namespace) if values.multicluster else ()),
        workload(name, values.namespace, {"containers": [container]}),
    ]


def _prometheus(values: VizValues) -> list[Manifest]:
    name = names.VIZ_PROMETHEUS
    pod = viz_prometheus.pod(image=values.prometheus_image, retention=values.prometheus_retention, hardened=hardened)
    made = workload(name, values.namespace, pod)
    # Two of them would write to the same disk where somebody mounts one.
    made["spec"]["strategy"] = {"type": "Recreate"}
    return [
        account(name, values.namespace),
        service(name, values.namespace, viz_prometheus.PORT),
        made,
    ]


# --- shapes -------------------------------------------------------------------------------------------------------
def workload(name: str, namespace: str, pod: Manifest) -> Manifest:
    """A Deployment of one injected pod; its selector is the component label alone."""
    selector = {"component": name}
    annotations = {names.INJECT_ANNOTATION: "enabled", names.SKIP_OUTBOUND_PORTS_ANNOTATION: UNPROXIED_PORTS}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(name, namespace, labels=selector),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": EXTENSION | selector, "annotations": annotations},
                "spec": {
                    "serviceAccountName": name,
                    **UNMOUNTED.get(name, {}),
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                    **pod,
                },
            },
        },
    }


def service(name: str, namespace: str, port: int) -> Manifest:
    ports = [{"name": "http", "port": port, "targetPort": port, "appProtocol": "http"}]
    spec = {"type": "ClusterIP", "selector": {"component": name}, "ports": ports}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name, namespace, labels={"component": name}),
        "spec": spec,
    }


def hardened(uid: int) -> Manifest:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": uid,
    }
