"""A pod in, a decision out: inject it (a JSON patch), leave it alone (why), or refuse it (why). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from isthmus import names
from isthmus.injector import config as configuration
from isthmus.injector import containers, metadata, tracing
from isthmus.injector.config import AnnotationError, Config

Pod: TypeAlias = Mapping[str, Any]
Operation: TypeAlias = dict[str, Any]

ENABLED: Final = ("enabled", "ingress")


@dataclass(frozen=True, slots=True)
class Inject:
    """The pod becomes part of the mesh."""

    patch: tuple[Operation, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """The pod is admitted as it is."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The pod is not admitted: its author asked for something that cannot be read."""

    message: str


Decision: TypeAlias = Inject | Skip | Refuse


def decide(pod: Pod, *, namespace: str, namespace_annotations: Mapping[str, str], config: Config) -> Decision:
    """What becomes of a new pod. `namespace` is the request's: a pod from a template does not carry its own."""
    annotations: Mapping[str, str] = (pod.get("metadata") or {}).get("annotations") or {}
    asked = annotations.get(names.INJECT_ANNOTATION, namespace_annotations.get(names.INJECT_ANNOTATION, "disabled"))
    if asked not in (*ENABLED, "disabled"):
        return Refuse(f"the annotation {names.INJECT_ANNOTATION}: {asked!r} must be enabled or disabled")
    if reason := _not_injectable(pod, asked):
        return Skip(reason)
    try:
        effective = configuration.effective(annotations, namespace_annotations)
    except AnnotationError as error:
        return Refuse(str(error))
    warnings = configuration.unsupported(annotations, namespace_annotations)
    warnings += tracing.warnings(annotations, namespace_annotations, config)
    if asked == "ingress":
        warnings.append(f"{names.INJECT_ANNOTATION}: ingress is treated as enabled")
    operations = [
        *metadata.operations(pod, namespace, effective, config),
        *containers.operations(pod, effective, config),
    ]
    return Inject(tuple(operations), tuple(warnings))


def _not_injectable(pod: Pod, asked: str) -> str:
    """Why the pod is left alone, "" when it is not."""
    if asked == "disabled":
        return f"neither the pod nor its namespace is annotated {names.INJECT_ANNOTATION}: enabled"
    spec = pod.get("spec") or {}
    if spec.get("hostNetwork"):
        return "it uses the host's network, which cannot be redirected for one pod"
    present = [*spec.get("containers", ()), *(spec.get("initContainers") or ())]
    if any(container.get("name") in (names.PROXY_CONTAINER, names.INIT_CONTAINER) for container in present):
        return "it has a proxy already"
    return ""
