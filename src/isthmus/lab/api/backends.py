"""Where a Service, or a webhook, is reached: the addresses of ready pods. Pure over what the store holds."""

from dataclasses import dataclass
from typing import Any

from yarl import URL

from isthmus.lab.api.contracts import Object, Reader
from isthmus.lab.api.webhooks import WebhookError
from isthmus.names import SERVICE_NAME_LABEL


@dataclass(frozen=True)
class Backend:
    """Addresses to try in turn, and the name that the certificate must be for."""

    urls: tuple[URL, ...]
    server_name: str
    shown: str
    """The URL as error messages write it."""


def backend(client: Object, *, store: Reader) -> Backend:
    """Resolve a webhook's `clientConfig`. Raises WebhookError when it leads nowhere."""
    if url := client.get("url"):
        parsed = URL(url)
        return Backend((parsed,), parsed.host or "", url)
    reference = client.get("service")
    if not reference:
        raise WebhookError("its clientConfig has neither url nor service")
    return _service_backend(reference, store)


def _service_backend(reference: Object, store: Reader) -> Backend:
    namespace, name = reference["namespace"], reference["name"]
    port = int(reference.get("port") or 443)
    path = "/" + str(reference.get("path") or "").lstrip("/")
    service = store.get("", "services", namespace, name)
    if service is None:
        raise WebhookError(f'service "{name}" not found')
    ports = (service.get("spec") or {}).get("ports") or ()
    entry = next((entry for entry in ports if entry.get("port") == port), None)
    if entry is None:
        raise WebhookError(f'no service port {port} found for service "{name}"')
    addresses = ready(namespace, name, entry.get("name") or "", store)
    if not addresses:
        raise WebhookError(f'no endpoints available for service "{name}"')
    host = f"{name}.{namespace}.svc"
    path_only = URL(path)
    urls = tuple(
        URL.build(scheme="https", host=ip, port=number, path=path_only.path, query=path_only.query)
        for ip, number in addresses
    )
    return Backend(urls, host, f"https://{host}:{port}{path}")


def ready(namespace: str, service: str, port_name: str, store: Reader) -> list[tuple[str, int]]:
    """Address and port of each ready endpoint; slices name their ports as the Service does."""
    return [
        (address, number)
        for piece in store.list("discovery.k8s.io", "endpointslices", namespace)
        if (piece["metadata"].get("labels") or {}).get(SERVICE_NAME_LABEL) == service
        if (number := _port_number(piece, port_name)) is not None
        for endpoint in piece.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint.get("addresses") or ()
    ]


def _port_number(piece: dict[str, Any], name: str) -> int | None:
    return next((port["port"] for port in piece.get("ports") or () if (port.get("name") or "") == name), None)
