"""Which ports of a pod carry bytes that no proxy reads as requests, and who says so, in words. Pure.

The pod's own proxy goes by what the injector wrote into the pod; proxies of callers by the Service that is called, else
its namespace, else the default.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from isthmus import names
from isthmus.resources import ports
from isthmus.resources.core import Pod, Service

MOST_SERVICES: Final = 20
UNREAD: Final = "it carries bytes and reads no requests"
NOTHING: Final[Mapping[str, str]] = {}


def told(pod: Pod, services: Iterable[Service] = (), namespace: Mapping[str, str] = NOTHING) -> Iterator[str]:
    """`services` are those of the pod's namespace; `namespace` are its annotations."""
    yield from _own(pod.metadata.annotations, namespace)
    calling = sorted((each for each in services if _selects(each, pod)), key=lambda each: each.metadata.name)
    unread = [(service, found) for service in calling if (found := _unread(service, namespace))]
    for service, found in unread[:MOST_SERVICES]:
        why = _why(service.metadata.annotations, namespace)
        yield f"What is sent to {_listed(found)} of Service {service.metadata.name} is not read as requests: {why}."
    if len(unread) > MOST_SERVICES:
        yield f"The same of {len(unread) - MOST_SERVICES} more Services."


def _own(annotations: Mapping[str, str], namespace: Mapping[str, str]) -> Iterator[str]:
    mine, here = _annotated(annotations), _annotated(namespace)
    if mine is None:
        yield f"On {_listed(names.DEFAULT_OPAQUE_PORTS)} {UNREAD}: the default."
    elif mine:
        yield f"On {_listed(mine)} {UNREAD}."
    else:
        yield "Looks for requests on every port."
    if here is not None and mine is None:
        yield f"The namespace says {_listed(here)} by now: that counts for pods that are made anew."


def _selects(service: Service, pod: Pod) -> bool:
    wanted = service.spec.selector or {}
    return bool(wanted) and wanted.items() <= pod.metadata.labels.items()


def _unread(service: Service, namespace: Mapping[str, str]) -> tuple[int, ...]:
    opaque = ports.opaque(service.metadata.annotations, namespace)
    return tuple(sorted({each.port for each in service.ports} & set(opaque)))


def _why(service: Mapping[str, str], namespace: Mapping[str, str]) -> str:
    if _annotated(service) is not None:
        return "it says so"
    return "its namespace says so" if _annotated(namespace) is not None else "the default"


def _annotated(annotations: Mapping[str, str]) -> tuple[int, ...] | None:
    """None also for a malformed annotation, which counts as absent."""
    try:
        return ports.annotated(annotations, names.OPAQUE_PORTS_ANNOTATION)
    except ports.PortError:
        return None


def _listed(found: Iterable[int]) -> str:
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in ports.ranges(found)]
    return f"port{'' if len(shown) == 1 and '-' not in shown[0] else 's'} {', '.join(shown)}" if shown else "no ports"
