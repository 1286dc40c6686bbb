"""What `linkerd viz install` prints: the metrics API, Prometheus, and what both need to read proxies."""

from typing import Any, Final

from isthmus import names
from isthmus.install import rbac, viz_grafana, viz_prometheus, viz_web
from isthmus.install.template import ABSENT, When, every, prune, when
from isthmus.install.viz_values import VizValues

Manifest = dict[str, Any]

UID: Final = 2103
EXTENSION: Final = {names.EXTENSION_LABEL: "viz"}
UNMOUNTED: Final = {names.VIZ_PROMETHEUS: {"automountServiceAccountToken": False}}
"""Who never talks to the API server has no token for it."""
UNPROXIED_PORTS: Final = "443,6443,4191,9990"
"""API servers, and what is scraped: numbers must be readable where the data plane is broken."""


def manifests(values: VizValues) -> list[Manifest]:
    """Every object, in the order in which it can be applied; all carry the extension's label, to be found again."""
    made: list[Manifest] = prune(objects(values))
    return made


def objects(values: VizValues) -> list[Manifest | When]:
    """The same as it depends on values: what is conditional is marked as such where the values are lookups."""
    made: list[Manifest | When] = [
        _namespace(values),
        *_api_access(values),
        _api_service(values),
        _api(values),
        *_if(values.shared, viz_web.shared_access(values.namespace)),
        *_web(values),
        viz_prometheus.configuration(values.namespace, metadata, interval=values.prometheus_scrape_interval),
        *_if(values.installs_prometheus, _prometheus(values)),
        *_if(values.dashboards, viz_grafana.config_maps(values.namespace, metadata)),
    ]
    return [_labelled(item) for item in made]


def _if(condition: Any, items: list[Manifest]) -> list[Manifest | When]:
    return [when(condition, item) for item in items]


def _labelled(item: Manifest | When) -> Manifest | When:
    if item is ABSENT:
        return item
    if isinstance(item, When):
        return When(item.conditions, _labelled(item.content))
    return item | {"metadata": item["metadata"] | {"labels": item["metadata"]["labels"] | EXTENSION}}


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
                rbac.rule([""], ["services", "namespaces"], rbac.FOLLOW),
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
            when(values.cluster_name, f"--cluster-name={values.cluster_name}"),
            when(values.prometheus_url, f"--prometheus-url={values.prometheus_url}"),
            when(values.installs_prometheus, f"--prometheus-url={_own_prometheus(values)}"),
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


def _own_prometheus(values: VizValues) -> str:
    return f"http://{names.VIZ_PROMETHEUS}.{values.namespace}:{viz_prometheus.PORT}"


def _api_service(values: VizValues) -> Manifest:
    return service(names.VIZ_METRICS_API, values.namespace, viz_prometheus.API_PORT)


def _web(values: VizValues) -> list[Manifest | When]:
    name = names.VIZ_WEB
    container = viz_web.container(
        image=f"{values.registry}/{names.CONTROLLER_IMAGE}:{values.version}",
        policy=values.image_pull_policy,
        namespace=values.namespace,
        log_level=values.log_level,
    ) | {"securityContext": hardened(UID)}
    return [
        *_if(values.page, [account(name, values.namespace)]),
        *_if(every(values.page, values.multicluster), viz_web.credentials_access(values.namespace)),
        *_if(values.page, [workload(name, values.namespace, {"containers": [container]})]),
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
