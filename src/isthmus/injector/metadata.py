"""Labels and annotations of an injected pod. Pure."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from isthmus import names
from isthmus.injector import tracing
from isthmus.injector.config import Config

OWNER_KINDS: Final = ("StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicaSet", "ReplicationController")
TEMPLATE_HASH_LABEL: Final = "pod-template-hash"
MAX_LABEL: Final = 63
INHERITED: Final = (
    names.OPAQUE_PORTS_ANNOTATION,
    names.SKIP_INBOUND_PORTS_ANNOTATION,
    names.ENABLE_GATEWAY_ANNOTATION,
    names.ACCESS_LOG_ANNOTATION,
)
"""What others read from the pod: written there also when the namespace said it."""


def operations(
    pod: Mapping[str, Any], namespace: str, effective: Mapping[str, str], config: Config
) -> list[dict[str, Any]]:
    """JSON patch operations for the pod's metadata."""
    present = pod.get("metadata") or {}
    annotations = {
        **gateway_annotation(namespace, present.get("labels") or {}),
        **(present.get("annotations") or {}),
        **{name: effective[name] for name in INHERITED if name in effective},
        **tracing.annotations(effective, config),
        names.PROXY_VERSION_ANNOTATION: config.version,
        names.CREATED_BY_ANNOTATION: f"linkerd/proxy-injector {config.version}",
        names.TRUST_ROOT_HASH_ANNOTATION: hashlib.sha256(config.trust_anchors.encode()).hexdigest(),
    }
    labels = {
        **(present.get("labels") or {}),
        names.CONTROL_PLANE_NS_LABEL: config.namespace,
        names.WORKLOAD_NS_LABEL: namespace,
        **owner_label(present),
    }
    return [
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
        {"op": "add", "path": "/metadata/labels", "value": labels},
    ]


def gateway_annotation(namespace: str, labels: Mapping[str, str]) -> dict[str, str]:
    """A gateway is known by where it runs and its label, for templates of it that only ask to be injected."""
    is_gateway = namespace == names.MULTICLUSTER_NAMESPACE and labels.get("component") == names.GATEWAY
    return {names.ENABLE_GATEWAY_ANNOTATION: "true"} if is_gateway else {}


def owner_label(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The workload that the pod belongs to, e.g. `linkerd.io/proxy-deployment: web`; {} for a pod of its own."""
    for owner in metadata.get("ownerReferences") or ():
        kind, name = str(owner.get("kind")), str(owner.get("name"))
        template = (metadata.get("labels") or {}).get(TEMPLATE_HASH_LABEL)
        if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
            return _label("deployment", name.removesuffix(f"-{template}"))
        if kind in OWNER_KINDS:
            return _label(kind.lower(), name)
    return {}


def _label(kind: str, name: str) -> dict[str, str]:
    """A name may be longer than a label's value."""
    return {f"{names.PROXY_OWNER_LABEL_PREFIX}{kind}": name[:MAX_LABEL].rstrip("-._")}
