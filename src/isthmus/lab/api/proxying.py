"""services/NAME:PORT/proxy and pods/NAME:PORT/proxy: HTTP to a workload, through the API server."""

from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from isthmus.lab.api import backends
from isthmus.lab.api.contracts import ApiError, Object, Reader
from isthmus.lab.api.reading import get, items
from isthmus.lab.api.status import bad_request

_TIMEOUT: Final = aiohttp.ClientTimeout(sock_connect=5, sock_read=30)
_NOT_FORWARDED: Final = frozenset(
    {"authorization", "connection", "content-length", "cookie", "host", "keep-alive", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "proxy-authorization", "accept-encoding"}
)
"""Connection headers, and credentials for this server, which are nobody else's."""
_CHUNK: Final = 64 * 1024


async def proxy(request: web.Request, *, store: Reader, resource: str, namespace: str, name: str) -> web.StreamResponse:
    """Send the request on to a ready endpoint; raises `ApiError` 503 when there is none that answers."""
    scheme, host, port = _target(store, resource, namespace, name)
    _, _, path = request.rel_url.raw_path.partition(f"/{name}/proxy")
    url = URL.build(scheme=scheme, host=host, port=port, path=path or "/", query=request.query, encoded=False)
    headers = {key: value for key, value in request.headers.items() if _is_for_others(key.lower())}
    body = await request.read()
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False) as session,
            session.request(
                request.method, url, headers=headers, data=body, ssl=False, allow_redirects=False
            ) as answer,
        ):
            kept = {key: value for key, value in answer.headers.items() if _is_for_others(key.lower())}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_chunked(_CHUNK):
                await response.write(chunk)
            return response
    except (aiohttp.ClientConnectorError, TimeoutError) as error:
        text = f"error trying to reach {resource} {namespace}/{name} at {host}:{port}: {error or 'it does not answer'}"
        raise ApiError(503, "ServiceUnavailable", text) from None


def _is_for_others(header: str) -> bool:
    return header not in _NOT_FORWARDED and not header.startswith("impersonate-")


def _target(store: Reader, resource: str, namespace: str, name: str) -> tuple[str, str, int]:
    """Scheme, address and port behind `[SCHEME:]NAME[:PORT]`."""
    parts = name.split(":")
    scheme = parts.pop(0) if len(parts) == 3 and parts[0] in ("http", "https") else "http"
    if len(parts) > 2:
        raise bad_request(f'"{name}" is not of the form [SCHEME:]NAME[:PORT]')
    own, port = parts[0], parts[1] if len(parts) == 2 else ""
    obj = store.get("", resource, namespace, own)
    if obj is None:
        details = {"name": own, "kind": resource}
        raise ApiError(404, "NotFound", f'{resource} "{own}" not found', details=details)
    host, number = _pod(obj, port) if resource == "pods" else _endpoint(store, obj, port)
    return scheme, host, number


def _pod(pod: Object, port: str) -> tuple[str, int]:
    address = get(pod, "status", "podIP")
    if not address:
        raise ApiError(503, "ServiceUnavailable", f"pod {pod['metadata']['name']} has no address yet")
    declared = [entry for container in items(pod, "spec", "containers") for entry in items(container, "ports")]
    if port.isdecimal():
        return str(address), int(port)
    found = next((entry["containerPort"] for entry in declared if not port or entry.get("name") == port), None)
    if found is None:
        raise bad_request(f"pod {pod['metadata']['name']} has no port {port or 'at all'}")
    return str(address), int(found)


def _endpoint(store: Reader, service: Object, port: str) -> tuple[str, int]:
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    ports = items(service, "spec", "ports")
    wanted = next((entry for entry in ports if not port or port in (entry.get("name"), str(entry.get("port")))), None)
    if wanted is None:
        raise bad_request(f"service {name} has no port {port or 'at all'}")
    if ready := backends.ready(namespace, name, wanted.get("name") or "", store):
        return ready[0]
    raise ApiError(503, "ServiceUnavailable", f'no endpoints available for service "{name}"')
