"""The containers and volumes of an injected pod: `linkerd-init` and the native sidecar `linkerd-proxy`. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from isthmus import names
from isthmus.injector import config as configuration
from isthmus.injector import metadata, tracing
from isthmus.injector.config import Config

TOKEN_SECONDS: Final = 86400

NOBODYS: Final[Mapping[str, str]] = {}

Container = dict[str, Any]


def operations(pod: Mapping[str, Any], effective: Mapping[str, str], config: Config) -> list[dict[str, Any]]:
    """JSON patch operations for the pod's spec.

    The two come before the application's own init containers, so that those are in the mesh too.
    """
    spec = pod.get("spec") or {}
    owner = metadata.owner_label(pod.get("metadata") or {})
    first = [init_container(effective, config), proxy_container(effective, config, owner=owner)]
    return [
        {"op": "add", "path": "/spec/volumes", "value": [*(spec.get("volumes") or ()), *volumes()]},
        {"op": "add", "path": "/spec/initContainers", "value": [*first, *(spec.get("initContainers") or ())]},
    ]


def init_container(effective: Mapping[str, str], config: Config) -> Container:
    """Redirects the pod's traffic, then ends. Root with NET_ADMIN, for that moment only."""
    inbound = effective.get(names.SKIP_INBOUND_PORTS_ANNOTATION, config.skip_inbound_ports)
    outbound = effective.get(names.SKIP_OUTBOUND_PORTS_ANNOTATION, config.skip_outbound_ports)
    return {
        "name": names.INIT_CONTAINER,
        "image": f"{config.registry}/{names.INIT_IMAGE}:{config.version}",
        "imagePullPolicy": config.image_pull_policy,
        "args": [
            f"--inbound-port={names.INBOUND_PORT}",
            f"--outbound-port={names.OUTBOUND_PORT}",
            f"--proxy-uid={names.PROXY_UID}",
            f"--control-plane-ports={','.join(map(str, names.NEVER_REDIRECTED_PORTS))}",
            f"--inbound-ports-to-ignore={inbound}",
            f"--outbound-ports-to-ignore={outbound}",
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "10Mi"}, "limits": {"cpu": "100m", "memory": "50Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "runAsUser": 0,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def proxy_container(effective: Mapping[str, str], config: Config, *, owner: Mapping[str, str] = NOBODYS) -> Container:
    """The proxy, as an init container that is restarted always: it starts before and ends after the application."""
    return {
        "name": names.PROXY_CONTAINER,
        "image": _image(effective, config),
        "imagePullPolicy": config.image_pull_policy,
        "restartPolicy": "Always",
        "env": [*_environment(effective, config), *tracing.environment(owner, config)],
        "ports": [
            {"name": "linkerd-proxy", "containerPort": names.INBOUND_PORT},
            {"name": "linkerd-admin", "containerPort": names.ADMIN_PORT},
        ],
        "startupProbe": {**_probe("/ready"), "periodSeconds": 1, "failureThreshold": 120},
        "readinessProbe": {**_probe("/ready"), "periodSeconds": 5, "failureThreshold": 3, "timeoutSeconds": 2},
        "livenessProbe": {**_probe("/live"), "periodSeconds": 10, "timeoutSeconds": 2},
        "resources": _resources(effective, config),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsGroup": names.PROXY_UID,
            "runAsNonRoot": True,
            "runAsUser": names.PROXY_UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": names.IDENTITY_VOLUME, "mountPath": names.IDENTITY_DIR},
            {"name": names.TOKEN_VOLUME, "mountPath": names.TOKEN_DIR, "readOnly": True},
        ],
    }


def volumes() -> list[dict[str, Any]]:
    """Where the key lives (memory, never a disk), and the token that proves the pod's account."""
    token = {
        "path": names.TOKEN_FILE,
        "audience": names.TOKEN_AUDIENCE,
        "expirationSeconds": TOKEN_SECONDS,
    }
    return [
        {"name": names.IDENTITY_VOLUME, "emptyDir": {"medium": "Memory"}},
        {"name": names.TOKEN_VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}},
    ]


def _environment(effective: Mapping[str, str], config: Config) -> list[dict[str, Any]]:
    suffix = f"{config.namespace}.svc.{config.cluster_domain}"
    values = {
        "ISTHMUS_TRUST_DOMAIN": config.trust_domain,
        "ISTHMUS_TRUST_ANCHORS": config.trust_anchors,
        "ISTHMUS_IDENTITY_ADDR": f"{names.IDENTITY_SERVICE}.{suffix}:{names.IDENTITY_PORT}",
        "ISTHMUS_DESTINATION_ADDR": f"{names.DESTINATION_SERVICE}.{suffix}:{names.DESTINATION_PORT}",
        "ISTHMUS_LOG_LEVEL": effective.get(configuration.PROXY_LOG_LEVEL, config.proxy_log_level),
    }
    fields = {
        "ISTHMUS_POD_NAME": "metadata.name",
        "ISTHMUS_POD_NAMESPACE": "metadata.namespace",
        "ISTHMUS_POD_IP": "status.podIP",
        "ISTHMUS_SERVICE_ACCOUNT": "spec.serviceAccountName",
    }
    return [
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()),
        *({"name": name, "value": value} for name, value in values.items()),
    ]


def _image(effective: Mapping[str, str], config: Config) -> str:
    image = effective.get(configuration.PROXY_IMAGE, f"{config.registry}/{names.PROXY_IMAGE}")
    if "@" in image or ":" in image.rpartition("/")[2]:
        return image
    return f"{image}:{effective.get(configuration.PROXY_VERSION, config.version)}"


def _resources(effective: Mapping[str, str], config: Config) -> dict[str, dict[str, str]]:
    """The installation's resources, and the annotations' over them."""
    asked = {
        ("requests", "cpu"): effective.get(configuration.CPU_REQUEST, config.proxy_cpu_request),
        ("requests", "memory"): effective.get(configuration.MEMORY_REQUEST, config.proxy_memory_request),
        ("limits", "cpu"): effective.get(configuration.CPU_LIMIT, config.proxy_cpu_limit),
        ("limits", "memory"): effective.get(configuration.MEMORY_LIMIT, config.proxy_memory_limit),
    }
    made: dict[str, dict[str, str]] = {}
    for (bound, resource), quantity in asked.items():
        if quantity:
            made.setdefault(bound, {})[resource] = quantity
    return made


def _probe(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": names.ADMIN_PORT}}
