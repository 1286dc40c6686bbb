"""The EndpointSlices that a Service and its pods amount to. Pure: no I/O, no clock."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from isthmus.lab.client import Object
from isthmus.lab.controllers import objects
from isthmus.names import SERVICE_NAME_LABEL

MANAGER: Final = "endpointslice-controller.k8s.io"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
HEADLESS: Final = "service.kubernetes.io/headless"
CAPACITY: Final = 100
"""Endpoints per slice, as in Kubernetes."""

Ports = tuple[tuple[str, str, int, str], ...]
"""Name, protocol, number and application protocol of each port: hashable, to group pods that agree on them."""


def selects(service: Object, pod: Object) -> bool:
    """Whether a pod stands behind a service. A service without selector has its endpoints made by someone else."""
    selector = service["spec"].get("selector")
    return bool(selector) and selector.items() <= objects.labels(pod).items()


def managed(service: Object) -> bool:
    """Whether this controller makes the service's slices at all."""
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def slices_of(service: Object, pods: Iterable[Object]) -> dict[str, Object]:
    """Every slice a service should have, by name. Pods that resolve the ports differently are in different slices."""
    groups: dict[Ports, list[Object]] = defaultdict(list)
    for pod in sorted(pods, key=_age):
        if pod.get("status", {}).get("podIP") and pod["status"].get("phase") not in ("Succeeded", "Failed"):
            groups[_ports(service, pod)].append(pod)
    if not groups:
        groups[_declared(service)] = []
    made = (
        _slice(service, ports, chunk, number)
        for ports, members in groups.items()
        for number, chunk in enumerate(_chunks(members))
    )
    return {item["metadata"]["name"]: item for item in made}


def same(found: Object, wanted: Object) -> bool:
    """Whether an existing slice says already what it should."""
    return (
        all(found.get(field) == wanted.get(field) for field in ("addressType", "endpoints"))
        and _plain(found.get("ports")) == _plain(wanted.get("ports"))
        and objects.labels(found) == objects.labels(wanted)
    )


def _plain(ports: Iterable[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    return [{key: value for key, value in port.items() if value not in (None, "")} for port in ports or ()]


def _slice(service: Object, ports: Ports, pods: Sequence[Object], number: int) -> Object:
    metadata = service["metadata"]
    digest = hashlib.sha256(repr((ports, number)).encode()).hexdigest()[:5]
    inherited = {
        key: value for key, value in objects.labels(service).items() if key not in (SERVICE_NAME_LABEL, MANAGED_BY)
    }
    headless = {HEADLESS: ""} if service["spec"].get("clusterIP") == "None" else {}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{metadata['name']}-{digest}",
            "namespace": metadata["namespace"],
            "labels": {**inherited, **headless, SERVICE_NAME_LABEL: metadata["name"], MANAGED_BY: MANAGER},
            "ownerReferences": [objects.owner_reference(service, kind="Service", api_version="v1")],
        },
        "addressType": "IPv4",
        "endpoints": [_endpoint(service, pod) for pod in pods],
        "ports": [_port(*port) for port in ports],
    }


def _port(name: str, protocol: str, number: int, app_protocol: str) -> Object:
    shown: Object = {"name": name, "protocol": protocol, "port": number}
    return shown | ({"appProtocol": app_protocol} if app_protocol else {})


def _endpoint(service: Object, pod: Object) -> Object:
    metadata, spec = pod["metadata"], pod["spec"]
    ready, ending = objects.pod_ready(pod), objects.deleting(pod)
    published = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: Object = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": published or (ready and not ending),
            "serving": published or ready,
            "terminating": ending,
        },
        "targetRef": {
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
    }
    if spec.get("nodeName"):
        endpoint["nodeName"] = spec["nodeName"]
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = spec["hostname"]
    return endpoint


def _ports(service: Object, pod: Object) -> Ports:
    """The service's ports as this pod has them; a named target port that the pod lacks is left out."""
    found = ((port, _target(port, pod)) for port in service["spec"].get("ports") or ())
    return tuple(
        (port.get("name", ""), port.get("protocol", "TCP"), number, port.get("appProtocol", ""))
        for port, number in found
        if number
    )


def _declared(service: Object) -> Ports:
    """The ports of a service that has no pods: those whose number is known without one."""
    return tuple(
        (port.get("name", ""), port.get("protocol", "TCP"), number, port.get("appProtocol", ""))
        for port in service["spec"].get("ports") or ()
        if isinstance(number := port.get("targetPort") or port["port"], int)
    )


def _target(port: Mapping[str, Any], pod: Object) -> int:
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    spec = pod["spec"]
    sidecars = (found for found in spec.get("initContainers") or () if found.get("restartPolicy") == "Always")
    for container in (*(spec.get("containers") or ()), *sidecars):
        for declared in container.get("ports") or ():
            same_protocol = declared.get("protocol", "TCP") == port.get("protocol", "TCP")
            if declared.get("name") == target and same_protocol:
                return int(declared["containerPort"])
    return 0


def _age(pod: Object) -> tuple[str, str]:
    return str(pod["metadata"].get("creationTimestamp", "")), pod["metadata"]["name"]


def _chunks(pods: Sequence[Object]) -> Iterator[Sequence[Object]]:
    if not pods:
        yield ()
    for start in range(0, len(pods), CAPACITY):
        yield pods[start : start + CAPACITY]
