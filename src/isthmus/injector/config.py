"""What the injector puts into pods, and the annotations by which people change it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from isthmus import names
from isthmus.resources import ports, tracing

PREFIX: Final = names.CONFIG_PREFIX
PROXY_LOG_LEVEL: Final = PREFIX + "proxy-log-level"
PROXY_IMAGE: Final = PREFIX + "proxy-image"
PROXY_VERSION: Final = PREFIX + "proxy-version"
CPU_REQUEST: Final = PREFIX + "proxy-cpu-request"
CPU_LIMIT: Final = PREFIX + "proxy-cpu-limit"
MEMORY_REQUEST: Final = PREFIX + "proxy-memory-request"
MEMORY_LIMIT: Final = PREFIX + "proxy-memory-limit"

_QUANTITY: Final = re.compile(r"\d+(\.\d+)?([munkMGTPE]|[KMGTPE]i|e\d+)?")
_LOG_LEVEL: Final = re.compile(r"[A-Za-z0-9_:=,.\[\]-]+")
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The installation's own values."""

    trust_domain: str
    trust_anchors: str
    cluster_domain: str = "cluster.local"
    namespace: str = names.CONTROL_PLANE_NAMESPACE
    registry: str = names.DEFAULT_REGISTRY
    version: str = names.VERSION
    image_pull_policy: str = "IfNotPresent"
    proxy_log_level: str = "warn"
    proxy_cpu_request: str = ""
    proxy_cpu_limit: str = ""
    proxy_memory_request: str = ""
    proxy_memory_limit: str = ""
    skip_inbound_ports: str = ",".join(map(str, names.DEFAULT_SKIPPED_PORTS))
    skip_outbound_ports: str = ",".join(map(str, names.DEFAULT_SKIPPED_PORTS))
    tracing_collector: str = ""
    tracing_sampling: str = ""
    tracing_cluster_name: str = ""


class AnnotationError(Exception):
    """An annotation whose value cannot be read; the message names both."""


def _ports(text: str) -> None:
    ports.parse(text)


def _sampling(text: str) -> None:
    tracing.parse(text)


def _switch(text: str) -> None:
    if text not in ("true", "false", "enabled", "disabled"):
        raise ValueError('it must be "true" or "false"')


def _log_format(text: str) -> None:
    if text not in ("apache", "json", "none"):
        raise ValueError('it must be "apache", "json" or "none"')


def _like(pattern: re.Pattern[str], meaning: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        if not pattern.fullmatch(text):
            raise ValueError(f"it must be {meaning}")

    return check


CHECKS: Final[Mapping[str, Callable[[str], None]]] = {
    names.SKIP_INBOUND_PORTS_ANNOTATION: _ports,
    names.SKIP_OUTBOUND_PORTS_ANNOTATION: _ports,
    names.OPAQUE_PORTS_ANNOTATION: _ports,
    names.ENABLE_GATEWAY_ANNOTATION: _switch,
    names.ACCESS_LOG_ANNOTATION: _log_format,
    names.TRACING_SAMPLING_ANNOTATION: _sampling,
    PROXY_LOG_LEVEL: _like(_LOG_LEVEL, "a log level such as info, or warn,linkerd=debug"),
    PROXY_IMAGE: _like(_IMAGE, "the name of an image"),
    PROXY_VERSION: _like(_TAG, "an image tag"),
    CPU_REQUEST: _like(_QUANTITY, "a quantity such as 100m"),
    CPU_LIMIT: _like(_QUANTITY, "a quantity such as 1"),
    MEMORY_REQUEST: _like(_QUANTITY, "a quantity such as 20Mi"),
    MEMORY_LIMIT: _like(_QUANTITY, "a quantity such as 250Mi"),
}
"""Every annotation that is honoured, and how its value is checked."""

NOT_FOR_PODS: Final = frozenset({names.ADMISSION_WEBHOOKS_LABEL})


def effective(pod: Mapping[str, str], namespace: Mapping[str, str]) -> dict[str, str]:
    """The honoured annotations that apply: the pod's own, else its namespace's. AnnotationError for a bad one."""
    found = {}
    for name, check in CHECKS.items():
        source, where = (pod, "pod") if name in pod else (namespace, "namespace")
        if name not in source:
            continue
        text = source[name].strip()
        try:
            check(text)
        except ValueError as error:
            raise AnnotationError(
                f"the {where}'s annotation {name}: {source[name]!r} cannot be used: {error}"
            ) from None
        found[name] = text
    return found


def unsupported(pod: Mapping[str, str], namespace: Mapping[str, str]) -> list[str]:
    """A sentence for each of Linkerd's configuration annotations that has no effect here."""
    asked = sorted({name for name in (*pod, *namespace) if name.startswith(PREFIX)} - CHECKS.keys() - NOT_FOR_PODS)
    return [f"the annotation {name} has no effect: this version does not support it" for name in asked]
