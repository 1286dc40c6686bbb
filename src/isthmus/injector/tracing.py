"""Where a pod's proxy sends spans, how many traces begin there, and what the pod is called in them. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from isthmus import names
from isthmus.injector.config import Config

COLLECTOR_VARIABLE: Final = "ISTHMUS_TRACING_COLLECTOR"
RESOURCE_VARIABLE: Final = "OTEL_RESOURCE_ATTRIBUTES"
"""Read by Envoy itself, as OpenTelemetry says: `key=value,key=value`."""
_NAME: Final = "$(ISTHMUS_POD_NAME)"
_NAMESPACE: Final = "$(ISTHMUS_POD_NAMESPACE)"
"""Not known when a pod is made of a template; put in by the kubelet."""


def annotations(effective: Mapping[str, str], config: Config) -> dict[str, str]:
    """What destination reads from the pod; nothing without a collector."""
    if not config.tracing_collector:
        return {}
    return {
        names.TRACING_COLLECTOR_ANNOTATION: config.tracing_collector,
        names.TRACING_SAMPLING_ANNOTATION: effective.get(names.TRACING_SAMPLING_ANNOTATION, config.tracing_sampling),
    }


def environment(owner: Mapping[str, str], config: Config) -> list[dict[str, Any]]:
    """What the proxy is told, after the pod's own name and namespace. `owner` is its label, `metadata.owner_label`."""
    if not config.tracing_collector:
        return []
    attributes = ",".join(f"{key}={value}" for key, value in _attributes(owner, config).items())
    return [
        {"name": COLLECTOR_VARIABLE, "value": config.tracing_collector},
        {"name": RESOURCE_VARIABLE, "value": attributes},
    ]


def warnings(pod: Mapping[str, str], namespace: Mapping[str, str], config: Config) -> list[str]:
    """What a pod asks for in vain."""
    asked = {*pod, *namespace}
    said = []
    if names.TRACING_COLLECTOR_ANNOTATION in asked:
        said.append(f"the annotation {names.TRACING_COLLECTOR_ANNOTATION} has no effect: the installation names one")
    if names.TRACING_SAMPLING_ANNOTATION in asked and not config.tracing_collector:
        said.append(
            f"the annotation {names.TRACING_SAMPLING_ANNOTATION} has no effect: the control plane was installed "
            "without tracing.collector"
        )
    return said


def _attributes(owner: Mapping[str, str], config: Config) -> dict[str, str]:
    """By the names of OpenTelemetry's conventions. The service is the workload, as people deploy it."""
    made = {"service.name": _NAME}
    for label, name in owner.items():
        kind = label.removeprefix(names.PROXY_OWNER_LABEL_PREFIX)
        made = {"service.name": name, f"k8s.{kind}.name": name}
    return {
        **made,
        "service.namespace": _NAMESPACE,
        "k8s.namespace.name": _NAMESPACE,
        "k8s.pod.name": _NAME,
        "k8s.cluster.name": config.tracing_cluster_name or config.trust_domain,
    }
