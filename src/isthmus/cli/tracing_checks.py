"""What `check` says about the collector of spans: a wrong one fails no request, so nobody else would."""

from collections.abc import Iterator
from typing import Final

from isthmus import names
from isthmus.cli.control_plane import REINSTALL, SERVICES, ControlPlane
from isthmus.cli.health import Category, Check, Problem
from isthmus.kube import errors
from isthmus.resources.discovery import ENDPOINT_SLICES
from isthmus.resources.keys import Key

_DROPPED: Final = "proxies drop their spans"


def tracing(plane: ControlPlane) -> Iterator[Category]:
    """A category where a collector is named; to be asked once it is known that there is an installation."""
    if collector(plane):
        yield Category(
            "linkerd-tracing",
            [
                Check(
                    description="the collector of spans is there",
                    anchor="l5d-tracing-collector",
                    run=lambda: require_collector(plane),
                    warning=True,
                )
            ],
        )


def collector(plane: ControlPlane) -> str:
    return str((plane.values().get("tracing") or {}).get("collector") or "")


def require_collector(plane: ControlPlane) -> None:
    """As far as that can be seen in the cluster: a collector elsewhere is taken as it is."""
    address = collector(plane)
    host, _, port = address.rpartition(":")
    if "." not in host:
        raise Problem(
            f"tracing.collector {address} is looked up in each pod's own namespace, so {_DROPPED} in all others: "
            f"install with {host}.<namespace>:{port}"
        )
    key = service_of(host, str(plane.values().get("clusterDomain", "")))
    if key is not None:
        _require_service(plane, key, port=int(port))


def _require_service(plane: ControlPlane, key: Key, *, port: int) -> None:
    namespace, name = key
    try:
        found = plane.client.get(SERVICES, name, namespace)
    except errors.NotFound:
        raise Problem(
            f"tracing.collector means Service {name} in namespace {namespace}, which is not there, so {_DROPPED}: "
            f"create it, or {REINSTALL} with another one"
        ) from None
    ports = [each["port"] for each in found["spec"].get("ports") or []]
    if port not in ports:
        raise Problem(
            f"Service {namespace}/{name} has no port {port} but {', '.join(map(str, ports)) or 'none'}, so {_DROPPED}: "
            f"{REINSTALL} with the port where it speaks OTLP over gRPC in tracing.collector"
        )
    slices = plane.client.list(ENDPOINT_SLICES, namespace, labels=f"{names.SERVICE_NAME_LABEL}={name}")
    if not any(endpoint.ready for item in slices for endpoint in item.endpoints or ()):
        raise Problem(f"Service {namespace}/{name} has no pod that is ready, so {_DROPPED}: look at its pods")


def service_of(host: str, domain: str) -> Key | None:
    """Namespace and name of the Service that a host name means in the cluster; None for a name or address elsewhere."""
    parts = host.removesuffix(f".{domain}").split(".")
    if len(parts) == 3 and parts[2] == "svc":
        parts = parts[:2]
    return (parts[1], parts[0]) if len(parts) == 2 else None
