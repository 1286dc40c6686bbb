"""Pods with what was written into them of their proxies, and that in words. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from isthmus import names
from isthmus.kube.kinds import Kind
from isthmus.resources.core import Container, Pod, PodSpec, Service
from isthmus.viz import opaque


class Variable(msgspec.Struct, frozen=True, gc=False):
    name: str = ""
    value: str = ""


class Resources(msgspec.Struct, frozen=True, gc=False):
    requests: dict[str, str] | None = None
    limits: dict[str, str] | None = None


class ConfiguredContainer(Container, frozen=True, gc=False, rename="camel"):
    image: str = ""
    args: tuple[str, ...] | None = None
    env: tuple[Variable, ...] | None = None
    resources: Resources = Resources()


class ConfiguredSpec(PodSpec, frozen=True, gc=False, rename="camel"):
    containers: tuple[ConfiguredContainer, ...] | None = None
    init_containers: tuple[ConfiguredContainer, ...] | None = None

    def container(self, name: str) -> ConfiguredContainer | None:
        both = (self.containers or ()) + (self.init_containers or ())
        return next((each for each in both if each.name == name), None)


class ProxiedPod(Pod, frozen=True, gc=False):
    """A pod, whether it has a proxy or not."""

    spec: ConfiguredSpec = ConfiguredSpec()


PROXIED_PODS: Final = Kind("v1", "Pod", "pods", ProxiedPod)

LOG_LEVEL: Final = "ISTHMUS_LOG_LEVEL"
PASSED: Final = {
    "--inbound-ports-to-ignore": "Ports {} are reached past the proxy.",
    "--outbound-ports-to-ignore": "Calls to ports {} leave past the proxy.",
}
"""Argument of the init container -> what it means."""
ANNOTATED: Final = {
    names.ACCESS_LOG_ANNOTATION: "Writes a line for each request, as {}.",
    names.ENABLE_GATEWAY_ANNOTATION: "Is a gateway: clients of linked clusters tunnel through it to exported services.",
}
"""Annotation -> what it means."""
WRITTEN: Final = tuple(
    names.CONFIG_PREFIX + each
    for each in (
        "opaque-ports",
        "skip-",
        "proxy-log-level",
        "proxy-image",
        "proxy-version",
        "proxy-cpu-",
        "proxy-memory-",
    )
)
"""How annotations begin whose effect is told otherwise."""


def settings(
    pod: ProxiedPod, services: Iterable[Service] = (), namespace: Mapping[str, str] = opaque.NOTHING
) -> Iterator[str]:
    """How the pod's proxy is configured, in words; an annotation that has none is shown as it is written.

    `services` are those of its namespace, and `namespace` are its annotations.
    """
    proxy, init = pod.spec.container(names.PROXY_CONTAINER), pod.spec.container(names.INIT_CONTAINER)
    if proxy:
        yield f"Runs {proxy.image}."
        yield _resources(proxy.resources)
        level = next((each.value for each in proxy.env or () if each.name == LOG_LEVEL), "")
        if level:
            yield f"Logs from level {level} on."
    for argument in init.args or () if init else ():
        flag, _, value = argument.partition("=")
        if flag in PASSED and value:
            yield PASSED[flag].format(_listed(value))
    yield from opaque.told(pod, services, namespace)
    yield from _annotated(pod.metadata.annotations)


def _annotated(annotations: Mapping[str, str]) -> Iterator[str]:
    for name, value in sorted(annotations.items()):
        if name in ANNOTATED:
            yield ANNOTATED[name].format(_listed(value))
        elif name.startswith(names.CONFIG_PREFIX) and not name.startswith(WRITTEN):
            yield f"{name.removeprefix(names.CONFIG_PREFIX)}: {value}"


def _resources(found: Resources) -> str:
    asked, most = _amounts(found.requests or {}), _amounts(found.limits or {})
    return f"Is promised {asked or 'no CPU or memory'}, and may take {most or 'what the node has'}."


def _amounts(amounts: Mapping[str, str]) -> str:
    named = {"cpu": "CPU", "memory": "memory"}
    return " and ".join(f"{amounts[key]} of {word}" for key, word in named.items() if key in amounts)


def _listed(value: str) -> str:
    return ", ".join(part.strip() for part in value.split(","))
